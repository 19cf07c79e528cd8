package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// writeEvery is how often the row's one writer writes. It begins half a
// second after the start, or in the middle of a row that is shorter.
const writeEvery = time.Second

// A readWorker is a process whose goroutines read all the time. The first process
// has a writer besides.
type readWorker struct {
	job
	rdb   hangUp
	mem   *sharedMem
	unmap func()

	excludes bool // readers exclude one another
	reads    func() handle
	writes   func() handle
}

func newReadWorker(j job) (task, error) {
	a, unmap, err := openSharedMem(j.SharedMem)
	if err != nil {
		return nil, err
	}
	r := &readWorker{job: j, rdb: hangUp{dial(j.Addr)}, mem: a, unmap: unmap}
	rw, mu := mutex.NewRW(r.rdb.rdb, j.Key), mutex.New(r.rdb.rdb, j.Key)
	switch j.System {
	case "RWMutex":
		r.reads = func() handle { return &leaseHandle{lockContext: rw.RLockContext} }
		r.writes = func() handle { return &leaseHandle{lockContext: rw.LockContext} }
	case "Mutex":
		r.writes = func() handle { return &leaseHandle{lockContext: mu.LockContext} }
	case inProcess:
		in := new(sync.RWMutex)
		r.reads = func() handle { return syncHandle{in.RLocker()} }
		r.writes = func() handle { return syncHandle{in} }
	default:
		return nil, fmt.Errorf("there is no %q to read by", j.System)
	}
	if r.excludes = r.reads == nil; r.excludes {
		r.reads = r.writes
	}
	// Warm, that is connected, with the scripts known.
	h := r.writes()
	if err := h.lock(context.Background()); err != nil {
		return nil, err
	}
	return r, h.unlock()
}

// syncHandle is a lock of package sync.
type syncHandle struct{ sync.Locker }

func (h syncHandle) lock(context.Context) error {
	h.Lock()
	return nil
}

func (h syncHandle) unlock() error {
	h.Unlock()
	return nil
}

func (r *readWorker) close() {
	r.unmap()
	r.rdb.close()
}

func (r *readWorker) run(start time.Time) *tally {
	ctx, cancel := context.WithTimeout(context.Background(), time.Until(start)+r.Duration+drainTimeout)
	defer cancel()
	tallies := make([]tally, r.Goroutines+1)
	time.Sleep(time.Until(start))
	end := time.Now().Add(r.Duration)
	var wg sync.WaitGroup
	for i := range r.Goroutines {
		wg.Go(func() { r.read(ctx, end, &tallies[i]) })
	}
	if r.Index == 0 && r.System != inProcess {
		wg.Go(func() { r.write(ctx, end, &tallies[r.Goroutines]) })
	}
	wg.Wait()
	return merged(tallies)
}

func (r *readWorker) read(ctx context.Context, end time.Time, t *tally) {
	t.Holds = make([]int64, 1)
	h := r.reads()
	for now, first := time.Now(), true; first || now.Before(end); now, first = time.Now(), false {
		if err := h.lock(ctx); err != nil {
			t.fail(err)
			continue
		}
		t.waited(time.Since(now))
		r.inside()
		t.Holds[0]++
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
	}
}

func (r *readWorker) inside() {
	if r.excludes {
		r.mem.enter(1)
		defer r.mem.leave()
	} else {
		r.mem.read()
		defer r.mem.done()
	}
	if r.Hold > 0 {
		time.Sleep(r.Hold)
	}
}

func (r *readWorker) write(ctx context.Context, end time.Time, t *tally) {
	h := r.writes()
	for next := time.Now().Add(min(writeEvery, r.Duration) / 2); next.Before(end); next = next.Add(writeEvery) {
		time.Sleep(time.Until(next))
		asked := time.Now()
		if err := h.lock(ctx); err != nil {
			t.fail(err)
			continue
		}
		t.Writes++
		t.WriteWait += time.Since(asked)
		r.mem.enter(1)
		r.mem.leave()
		if err := h.unlock(); err != nil {
			t.fail(err)
		}
	}
}
