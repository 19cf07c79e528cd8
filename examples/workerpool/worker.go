package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// A worker is one process of the fleet.
type worker struct {
	n       int
	pool    *semaphore.Weighted // for as many jobs at once as it has permits
	limiter *semaphore.Limiter  // for as many in a second
	job     time.Duration       // on average
}

// next waits for a permit, or for the end, which ctx brings.
func (w *worker) next(ctx context.Context) error {
	permit := w.pool.AcquireChan(ctx, 1)
	select {
	case r := <-permit:
		if r.Err != nil {
			return r.Err
		}
		return w.permitted(ctx, r.Lease)
	case <-ctx.Done():
		// The end of ctx ends the wait too. Only because the process is about to
		// exit: until the Result is here, the permit may not have been given back.
		if r := <-permit; r.Lease != nil {
			return r.Lease.Release()
		}
		return nil
	}
}

// permitted does a job when its turn comes. The permit comes first and the turn
// last, just before the job: a turn waits for nobody, a permit does.
func (w *worker) permitted(ctx context.Context, lease *semaphore.Lease) error {
	w.say(lease, takes)
	defer w.giveBack(lease)

	wait, stop := lease.Context(ctx) // ends with ctx, or when the permit is lost
	defer stop()
	select {
	case err := <-w.limiter.WaitChan(wait):
		if err != nil {
			return err
		}
	case <-wait.Done():
		return context.Cause(wait)
	}

	// What has begun is finished, also after the end of ctx. But it must stop if the
	// permit is lost: from then on another may have it.
	w.say(lease, begins)
	select {
	case <-time.After(w.job/2 + rand.N(w.job)):
		w.say(lease, ends)
	case <-lease.Done():
		w.say(lease, breaks)
	}
	return nil
}

// giveBack ends the hold. That is told before it is done: who has the permit next
// can then speak only afterwards.
func (w *worker) giveBack(lease *semaphore.Lease) {
	w.say(lease, gives)
	// Whatever Release returns, the permit is not held any more. An error says that
	// it was lost before, so that another may have had it meanwhile, or that Redis
	// could not be told and will find out.
	if err := lease.Release(); err != nil {
		w.say(lease, lost)
	}
}

func (w *worker) say(lease *semaphore.Lease, what deed) { fmt.Println(w.n, lease.Fence(), what) }

// A task is what a worker is told when it is started.
type task struct {
	N      int
	Config config
}

const taskEnv = "WORKERPOOL_TASK"

// work does jobs until stdin ends.
func work(told string) error {
	var t task
	if err := json.Unmarshal([]byte(told), &t); err != nil {
		return err
	}
	o, err := redis.ParseURL(t.Config.URL)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	w := &worker{
		n:       t.N,
		pool:    semaphore.NewWeighted(rdb, t.Config.Key, t.Config.Permits),
		limiter: semaphore.NewLimiter(rdb, t.Config.Key+":rate", semaphore.Limit(t.Config.Rate), 1),
		job:     t.Config.Job,
	}
	w.pool.TTL = t.Config.TTL

	// Ctrl-C reaches all processes of a terminal. To end the workers is for the one
	// that started them: by closing their stdin, as its own death does.
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		cancel(err)
	}()

	var (
		wg   sync.WaitGroup
		errs = make(chan error, t.Config.Each)
	)
	for range t.Config.Each {
		wg.Go(func() {
			for ctx.Err() == nil {
				// ErrLost is no reason to end: there are other permits.
				if err := w.next(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, semaphore.ErrLost) {
					errs <- err
					cancel(err) // the others end with it
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
