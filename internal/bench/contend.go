package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// drainTimeout is how long a waiting goroutine may still acquire the lock after the end. If
	// it does not, it counts as unserved.
	drainTimeout = 5 * time.Second
	// writeEvery is the period of the only writer. Its first write is half a second after the
	// start, or in the middle of a shorter row.
	writeEvery = time.Second
	// visitPeriod is how often the other process of again-foreign locks the key.
	visitPeriod = 100 * time.Millisecond
)

// contend makes all goroutines of the process lock the same key, or one key each.
func (w *worker) contend(start time.Time) *tally {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tallies := make([]tally, w.Goroutines+1)
	handles := make([]handle, w.Goroutines)
	for i := range handles {
		key := "key"
		if w.OwnKeys {
			key = fmt.Sprintf("own-%d", i)
		}
		handles[i] = w.clients[0].handle(key)
	}
	time.Sleep(time.Until(start))
	end := time.Now().Add(w.Duration)
	// Do not cancel at the end: rueidislock unlocks when ctx is done, even while the lock is held.
	timeout := time.AfterFunc(w.Duration+drainTimeout, cancel)
	defer timeout.Stop()

	var wg sync.WaitGroup
	for i, h := range handles {
		wg.Go(func() {
			own, stop := context.WithCancel(ctx)
			defer stop()
			w.loop(own, h, end, &tallies[i])
		})
	}
	if w.Reads && w.Index == 0 {
		wg.Go(func() { w.write(ctx, end, &tallies[w.Goroutines]) })
	}
	wg.Wait()
	return merged(tallies)
}

// loop locks, holds and unlocks in one goroutine until the end, but at least once, even if a busy
// machine starts it late.
func (w *worker) loop(ctx context.Context, h handle, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	for requested, first := time.Now(), true; first || requested.Before(end); requested, first = time.Now(), false {
		err := h.lock(ctx)
		got := time.Now()
		late := got.After(end)
		if late {
			got = end
		}
		if !w.OwnKeys {
			t.Waits.add(got.Sub(requested))
		}
		if err != nil && ctx.Err() != nil {
			t.Unserved++
			return
		}
		if err != nil {
			t.fail(err)
			continue
		}
		if late && !w.OwnKeys {
			t.Late++
		} else {
			t.Holds[0]++
		}
		if !w.OwnKeys {
			w.inside()
		}
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
		if w.OwnKeys {
			t.Waits.add(time.Since(requested))
		}
	}
}

// inside is the critical section.
func (w *worker) inside() {
	if w.Reads && w.System == "baton-rw" { // with a Mutex, readers exclude each other
		w.mem.read()
		defer w.mem.done()
	} else {
		w.mem.enter(max(w.Limit, 1))
		defer w.mem.leave()
	}
	if w.Hold > 0 {
		time.Sleep(w.Hold)
	}
}

// write locks for writing once per writeEvery.
func (w *worker) write(ctx context.Context, end time.Time, t *tally) {
	open := w.clients[0].handle
	if w.clients[0].writer != nil {
		open = w.clients[0].writer
	}
	h := open("key")
	for next := time.Now().Add(min(writeEvery, w.Duration) / 2); next.Before(end); next = next.Add(writeEvery) {
		time.Sleep(time.Until(next))
		t.WriteWait += t.once(ctx, h, func() {
			t.Writes++
			w.mem.enter(1)
			w.mem.leave()
		})
	}
}

// once locks and unlocks, and returns how long it waited for the lock.
func (t *tally) once(ctx context.Context, h handle, inside func()) (wait time.Duration) {
	requested := time.Now()
	err := h.lock(ctx)
	wait = time.Since(requested)
	if err == nil {
		inside()
		err = h.unlock()
	}
	if err != nil {
		t.fail(err)
	}
	return wait
}

// again locks a key repeatedly, with all clients in turn. A visitor does so every visitPeriod. The waits of visitors and of several
// clients count. The library treats two clients as two processes.
func (w *worker) again(start time.Time) *tally {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var handles []handle
	for _, c := range w.clients {
		handles = append(handles, c.handle("again"))
	}
	t, end, visits := &tally{}, start.Add(w.Duration), w.Task == "visit" || w.Index > 0
	if visits {
		end = end.Add(-2 * visitPeriod) // a process that ends while it lingers keeps the lock
	} else {
		t.Holds = make([]int64, 1)
	}
	time.Sleep(time.Until(start))
	for time.Now().Before(end) {
		for _, h := range handles {
			if visits {
				time.Sleep(visitPeriod)
			} else {
				t.Holds[0]++
			}
			if wait := t.once(ctx, h, func() {}); visits || len(handles) > 1 {
				t.Waits.add(wait)
			}
		}
	}
	return t
}
