package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func init() { workers["fleet"] = fleet }

const (
	fleetRate  = 100
	fleetBurst = 20
)

// fleet is one of the processes of TestLimiterAcrossProcesses. It says when it is
// ready, is told until when to go on, and prints a line for each event.
func fleet() {
	rdb, _ := kit.FromEnv()
	defer rdb.Close()
	lim := semaphore.NewLimiter(rdb, "key", fleetRate, fleetBurst)
	must(rdb.Ping(context.Background()).Err())
	fmt.Println("ready")
	var end int64
	_, err := fmt.Scan(&end)
	must(err)
	ctx, cancel := context.WithDeadline(context.Background(), time.UnixMilli(end))
	defer cancel()
	ways := []func() error{
		func() error { return lim.Wait(ctx) },
		func() error { return <-lim.WaitChan(ctx) },
		func() error { // one that does not wait, at first
			if ok, err := lim.AllowContext(ctx); ok || err != nil {
				return err
			}
			return lim.Wait(ctx)
		},
		func() error { // and one that gives up
			short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
			defer cancel()
			if err := lim.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return lim.Wait(ctx)
		},
	}
	var wg sync.WaitGroup
	for g := range 2 * len(ways) {
		wg.Go(func() {
			for {
				err := ways[g%len(ways)]()
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
	const length = 10 * time.Second
	s := redistest.Start(t)
	var all []kit.Worker
	for range processes {
		all = append(all, kit.Spawn(t, s, "fleet", 0))
	}
	for _, w := range all {
		w.Says("ready")
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
