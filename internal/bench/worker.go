package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"
)

// workerEnv makes the binary a worker; it holds the job.
const workerEnv = "BATON_BENCH_WORKER"

// drain is for how long, after the end, a goroutine that waits may still get the
// lock; one that does not counts as unserved.
const drain = 5 * time.Second

// A job is what one worker process does.
type job struct {
	System, Addr, Key, Arena string
	Goroutines               int
	Hold, Duration           time.Duration
	Profile                  string // file for a CPU profile, or empty
}

// workIfTold does a worker's job, and does not return, in a process that hot
// has started: it says "ready", is told the instant to begin at, and says what
// came of it. It ends with its parent, as that ends its stdin.
func workIfTold() {
	told := os.Getenv(workerEnv)
	if told == "" {
		return
	}
	if err := work(told); err != nil {
		fmt.Fprintln(os.Stderr, "bench: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(told string) error {
	var j job
	if err := json.Unmarshal([]byte(told), &j); err != nil {
		return err
	}
	sys, ok := systemNamed(j.System)
	if !ok {
		return fmt.Errorf("there is no system %q", j.System)
	}
	c, err := sys.open(j.Addr)
	if err != nil {
		return err
	}
	defer c.close()
	if err := warm(c, fmt.Sprintf("warm-%d", os.Getpid())); err != nil {
		return err
	}
	a, unmap, err := openArena(j.Arena)
	if err != nil {
		return err
	}
	defer unmap()

	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode("ready"); err != nil {
		return err
	}
	var start time.Time
	if err := in.Decode(&start); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if j.Profile != "" {
		f, err := os.Create(filepath.Clean(j.Profile))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	t := j.run(c, a, start)
	pprof.StopCPUProfile()
	return out.Encode(t)
}

// warm opens a connection and has the server know the scripts.
func warm(c client, key string) error {
	h := c.handle(key)
	for range 3 {
		if err := h.lock(context.Background()); err != nil {
			return err
		}
		if err := h.unlock(); err != nil {
			return err
		}
	}
	return nil
}

func (j job) run(c client, a *arena, start time.Time) *tally {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tallies := make([]tally, j.Goroutines)
	handles := make([]handle, j.Goroutines)
	for i := range handles {
		handles[i] = c.handle(j.Key)
	}
	time.Sleep(time.Until(start))
	end := time.Now().Add(j.Duration)
	// Not at the end: rueidislock unlocks when ctx ends, though somebody be inside.
	breaker := time.AfterFunc(j.Duration+drain, cancel)
	defer breaker.Stop()

	var wg sync.WaitGroup
	for i, h := range handles {
		wg.Go(func() {
			own, stop := context.WithCancel(ctx)
			defer stop()
			j.loop(own, h, a, end, &tallies[i])
		})
	}
	wg.Wait()
	all := new(tally)
	for i := range tallies {
		all.merge(&tallies[i])
	}
	return all
}

// loop is one goroutine: it locks, holds and unlocks until the end.
func (j job) loop(ctx context.Context, h handle, a *arena, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	for {
		asked := time.Now()
		if !asked.Before(end) {
			return
		}
		err := h.lock(ctx)
		got := time.Now()
		late := got.After(end)
		if late {
			got = end
		}
		wait := got.Sub(asked)
		t.Waits.add(wait)
		t.Longest = max(t.Longest, wait)
		if err != nil {
			if ctx.Err() != nil {
				t.Unserved++
				return
			}
			t.fail(err)
			continue
		}
		a.enter()
		if late {
			t.Late++
		} else {
			t.Holds[0]++
		}
		if j.Hold > 0 {
			time.Sleep(j.Hold)
		}
		a.leave()
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
	}
}
