package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func init() { workers["fleet"] = fleet }

const (
	fleetRate  = 100
	fleetBurst = 20
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fleet is one of the processes of TestLimiterAcrossProcesses. It says when it is
// ready, is told until when to go on, and prints a line for each event.
func fleet() {
	opts, err := redis.ParseURL(os.Getenv("FLEET_URL"))
	must(err)
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	lim := semaphore.NewLimiter(rdb, "key", fleetRate, fleetBurst)
	must(rdb.Ping(context.Background()).Err())
	fmt.Println("ready")
	var end int64
	_, err = fmt.Scan(&end)
	must(err)
	ctx, cancel := context.WithDeadline(context.Background(), time.UnixMilli(end))
	defer cancel()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for {
				var err error
				switch {
				case g == 0: // one that does not wait, and one that gives up
					if ok, again := lim.AllowContext(ctx); !ok && again == nil {
						again = lim.Wait(ctx)
						err = again
					} else {
						err = again
					}
				case g == 1:
					short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
					err = lim.Wait(short)
					cancel()
					if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
						err = lim.Wait(ctx)
					}
				case g < 5:
					err = lim.Wait(ctx)
				default:
					err = <-lim.WaitChan(ctx)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					return
				}
				must(err)
				fmt.Println(g)
			}
		})
	}
	wg.Wait()
}

// TestLimiterAcrossProcesses has four processes do what they can for ten seconds:
// at 100 a second, 1,000 events go through, and a burst.
func TestLimiterAcrossProcesses(t *testing.T) {
	t.Parallel()
	const processes = 4
	length := 10 * time.Second
	if testing.Short() {
		length = 2 * time.Second
	}
	s := redistest.Start(t)
	var all []*redistest.Worker
	for range processes {
		all = append(all, redistest.Spawn(t, "fleet", "FLEET_URL="+s.URL()))
	}
	for _, w := range all {
		if line := <-w.Lines(); line != "ready" {
			t.Fatalf("a worker says %q", line)
		}
	}
	before := s.Stats(t)
	end := strconv.FormatInt(time.Now().Add(length).UnixMilli(), 10)
	var events atomic.Int64
	var wg sync.WaitGroup
	for _, w := range all {
		w.Send(end)
		wg.Go(func() {
			for line := range w.Lines() {
				if strings.TrimSpace(line) != "" {
					events.Add(1)
				}
			}
		})
	}
	for _, w := range all {
		if err := w.Wait(); err != nil {
			t.Errorf("a worker: %v", err)
		}
	}
	wg.Wait()
	want := int64(length.Seconds() * fleetRate)
	got := events.Load()
	t.Logf("%d events, for %d requests", got, s.Stats(t).Since(before).Scripts())
	if got < want-fleetBurst || got > want+fleetBurst {
		t.Errorf("%d events, want %d ± %d", got, want, fleetBurst)
	}
	for _, key := range s.Keys(t) {
		if left := s.Do(t, "PTTL", key).(int64); left == -1 || left > 16000 {
			t.Errorf("%s expires in %d ms", key, left)
		}
	}
}
