//go:build unix

package mutex_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["once"], workers["flight"] = onceWorker, flightWorker }

const shortTTL = 500 * time.Millisecond

func workerClient() *redis.Client {
	opts, err := redis.ParseURL(os.Getenv("WORKER_URL"))
	must(err)
	return redis.NewClient(opts)
}

// slow is what a worker does as f: it tells the test, and goes on when the test says so.
func slow() {
	fmt.Println("running")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

func onceWorker() {
	o := mutex.NewOnce(workerClient(), "key")
	o.TTL, o.Label = shortTTL, "worker"
	ran, err := o.DoContext(context.Background(), func(context.Context) error {
		slow()
		return nil
	})
	fmt.Println(ran, err)
}

func flightWorker() {
	fl := mutex.NewFlight(workerClient(), "price:")
	fl.TTL, fl.Keep = shortTTL, time.Hour
	b, _, err := fl.Do(context.Background(), "1", func(context.Context) ([]byte, error) {
		slow()
		return []byte("of the worker"), nil
	})
	fmt.Println(string(b), err)
}

func line(t *testing.T, w *redistest.Worker, want string) {
	t.Helper()
	select {
	case got := <-w.Lines():
		if got != want {
			t.Fatalf("the worker prints %q, want %q", got, want)
		}
	case <-time.After(redistest.Patience):
		t.Fatalf("the worker does not print %q", want)
	}
}

// A process that is killed in the middle leaves it undone, and the next in line runs it.
func TestOnceOfAKilledProcessIsRunByTheNext(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := redistest.Spawn(t, "once", "WORKER_URL="+s.URL())
	line(t, w, "running")
	o := mutex.NewOnce(s.Client(t), "key")
	result := make(chan error, 1)
	go func() {
		ran, err := o.DoContext(t.Context(), nothing)
		if !ran {
			err = errors.Join(err, errors.New("it did not run"))
		}
		result <- err
	}()
	redistest.Eventually(t, redistest.Patience, func() bool { return waiting(t, s) == 1 }, "the next waits")
	w.Kill()
	must(<-result)
	done(t, o, true)
}

// The callers of several processes wait for the value of one that is killed: one of them
// makes it.
func TestFlightOfAKilledProcessIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	w := redistest.Spawn(t, "flight", "WORKER_URL="+s.URL())
	line(t, w, "running")
	runs := make(chan struct{}, 10)
	var results []<-chan mutex.FlightResult
	fl := mutex.NewFlight(s.Client(t), "price:")
	for range 3 {
		fl = mutex.NewFlight(s.Client(t), "price:")
		fl.Keep = time.Hour
		for range 10 {
			results = append(results, fl.DoChan(t.Context(), "1", func(context.Context) ([]byte, error) {
				runs <- struct{}{}
				return []byte("v"), nil
			}))
		}
	}
	waiters(t, fl, 3)
	w.Kill()
	for _, ch := range results {
		if r := <-ch; string(r.Val) != "v" || r.Err != nil {
			t.Errorf("got %+v", r)
		}
	}
	if len(runs) != 1 {
		t.Errorf("%d runs", len(runs))
	}
}
