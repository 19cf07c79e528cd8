package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// drainTimeout is for how long, after the end, a goroutine that waits may still get the
	// lock; one that does not counts as unserved.
	drainTimeout = 5 * time.Second
	// writeEvery is how often the one writer writes. It begins half a second after the start,
	// or in the middle of a row that is shorter.
	writeEvery = time.Second
)

// contend has all goroutines of the process lock the same key, or one each.
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
	// Not at the end: rueidislock unlocks when ctx ends, though somebody be inside.
	breaker := time.AfterFunc(w.Duration+drainTimeout, cancel)
	defer breaker.Stop()

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

// loop is one goroutine: it locks, holds and unlocks until the end, and at least
// once, however late a busy machine lets it begin.
func (w *worker) loop(ctx context.Context, h handle, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	for asked, first := time.Now(), true; first || asked.Before(end); asked, first = time.Now(), false {
		err := h.lock(ctx)
		got := time.Now()
		late := got.After(end)
		if late {
			got = end
		}
		if !w.OwnKeys {
			t.waited(got.Sub(asked))
		}
		if err != nil {
			if ctx.Err() != nil {
				t.Unserved++
				return
			}
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
			t.waited(time.Since(asked))
		}
	}
}

// inside is the critical section.
func (w *worker) inside() {
	if w.Reads && w.System == "baton-rw" { // with a mutex readers exclude one another
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

// write writes once in a while.
func (w *worker) write(ctx context.Context, end time.Time, t *tally) {
	h := w.clients[0].handle("key")
	if rw, ok := w.clients[0].(batonRW); ok {
		h = rw.writer("key")
	}
	for next := time.Now().Add(min(writeEvery, w.Duration) / 2); next.Before(end); next = next.Add(writeEvery) {
		time.Sleep(time.Until(next))
		asked := time.Now()
		if err := h.lock(ctx); err != nil {
			t.fail(err)
			continue
		}
		t.Writes++
		t.WriteWait += time.Since(asked)
		w.mem.enter(1)
		w.mem.leave()
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
	}
}

// visitPeriod is how often the other process of again-foreign locks the key.
const visitPeriod = 100 * time.Millisecond

// foreign is a process that locks a key once in a while; the first process locks it again and again.
func (w *worker) foreign(start time.Time) *tally {
	if w.Index > 0 {
		return w.visit(start)
	}
	return w.again(start, func(*tally, time.Duration) {})
}

// again locks a key again and again, with all clients in turn.
func (w *worker) again(start time.Time, note func(*tally, time.Duration)) *tally {
	t := &tally{Holds: make([]int64, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var handles []handle
	for _, c := range w.clients {
		handles = append(handles, c.handle("again"))
	}
	time.Sleep(time.Until(start))
	for end := start.Add(w.Duration); time.Now().Before(end); {
		for _, h := range handles {
			note(t, t.once(ctx, h))
			t.Holds[0]++
		}
	}
	return t
}

// pingpong is two clients that lock a key in turn. To the library they are two processes.
func (w *worker) pingpong(start time.Time) *tally { return w.again(start, (*tally).waited) }

// visit locks a key once in a while.
func (w *worker) visit(start time.Time) *tally {
	t := &tally{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := w.clients[0].handle("again")
	time.Sleep(time.Until(start))
	tick := time.NewTicker(visitPeriod)
	defer tick.Stop()
	for time.Now().Before(start.Add(w.Duration - 2*visitPeriod)) { // a process that ends while it lingers keeps the lock
		<-tick.C
		t.waited(t.once(ctx, h))
	}
	return t
}

// once locks and unlocks, and returns how long it waited for the lock.
func (t *tally) once(ctx context.Context, h handle) (wait time.Duration) {
	asked := time.Now()
	err := h.lock(ctx)
	wait = time.Since(asked)
	if err == nil {
		err = h.unlock()
	}
	if err != nil {
		t.fail(err)
	}
	return wait
}
