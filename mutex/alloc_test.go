package mutex_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestCostAllocations bounds what an operation allocates, go-redis included: a little
// more than it does. It does not depend on the machine, so that a change which makes
// operations slower for that reason is noticed. The race detector allocates, too.
func TestCostAllocations(t *testing.T) {
	if race {
		t.Skip("with the race detector there are more; go test -run TestCostAllocations ./... is without")
	}
	s := redistest.Start(t)
	rdb := s.Client(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, rw, p := mutex.New(rdb, "key"), mutex.NewRW(rdb, "rw"), mutex.NewPool(rdb, "{p}:")
	floor := func() { // SET NX PX, and a script that compares and deletes
		rdb.SetNX(ctx, "floor", "me", mutex.DefaultTTL)
		compareAndDelete.Run(ctx, rdb, []string{"floor"}, "me")
	}
	held := lock(t, mutex.New(s.Client(t), "held"))
	taken := mutex.New(rdb, "held")
	taken.TryLock() // opens what it needs
	reader := rlock(t, rw)
	inside := mutex.New(rdb, "inside")
	owner := lock(t, inside)

	floor()
	least := testing.AllocsPerRun(200, floor)
	t.Logf("the floor: %.0f", least)
	for _, op := range []struct {
		name string
		most float64 // more than the floor's
		do   func()
	}{
		{"Lock and Unlock", 18, func() { m.Lock(); m.Unlock() }}, //lint:ignore SA2001 that is what is measured
		{"LockContext and Lease.Unlock", 21, func() { unlock(t, lock(t, m)) }},
		{"with a ctx that can be cancelled", 21, func() {
			l, err := m.LockContext(ctx)
			if err != nil {
				t.Error(err)
			}
			unlock(t, l)
		}},
		{"LockChan", 27, func() { unlock(t, (<-m.LockChan(ctx)).Lease) }},
		{"a Pool's", 24, func() { p.Lock("a"); p.Unlock("a") }},
	} {
		op.do()
		if n := testing.AllocsPerRun(200, op.do) - least; n > op.most {
			t.Errorf("%s: %.0f allocations more than the floor, want at most %.0f", op.name, n, op.most)
		} else {
			t.Logf("%s: %+.0f", op.name, n)
		}
	}
	for _, op := range []struct {
		name string
		most float64
		do   func()
	}{
		{"TryLock of what is taken", 22, func() { taken.TryLock() }},
		{"a reader that joins", 2, func() { unlock(t, rlock(t, rw)) }},
		{"a hand-over inside the process", 9, func() {
			next := inside.LockChan(ctx)
			unlock(t, owner)
			owner = (<-next).Lease
		}},
	} {
		op.do()
		if n := testing.AllocsPerRun(200, op.do); n > op.most {
			t.Errorf("%s: %.0f allocations, want at most %.0f", op.name, n, op.most)
		} else {
			t.Logf("%s: %.0f", op.name, n)
		}
	}
	for _, l := range []*mutex.Lease{reader, owner, held} {
		unlock(t, l)
	}
}

var compareAndDelete = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)

// TestCostMemory bounds what one that waits takes on the heap, besides its own goroutine.
func TestCostMemory(t *testing.T) {
	if race {
		t.Skip("with the race detector it is more; go test -run TestCostMemory ./... is without")
	}
	const waiters = 20_000
	s := redistest.Start(t)
	held := lock(t, mutex.New(s.Client(t), "key"))
	m := mutex.New(s.Client(t), "key")
	// grown is how much memory each takes that start starts, until stop.
	grown := func(start, stop func()) float64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start()
		runtime.GC()
		runtime.ReadMemStats(&after)
		stop()
		return float64(after.HeapAlloc-before.HeapAlloc) / waiters
	}
	var all sync.WaitGroup
	idle := func() float64 {
		stop := make(chan struct{})
		return grown(func() {
			started := make(chan struct{})
			for range waiters {
				all.Go(func() {
					started <- struct{}{}
					<-stop
				})
			}
			for range waiters {
				<-started
			}
		}, func() { close(stop); all.Wait() })
	}
	idle() // the runtime keeps what it has made for goroutines
	own := idle()
	ctx, cancel := context.WithCancel(t.Context())
	counted := &counted{Context: ctx}
	waiting := grown(func() {
		for range waiters {
			all.Go(func() {
				if _, err := m.LockContext(counted); err == nil {
					t.Error("who waits gets the lock")
				}
			})
		}
		// A call asks for it when it stands in line, and when it begins to wait.
		redistest.Eventually(t, 10*time.Second, func() bool { return counted.n.Load() >= 2*waiters }, "all wait")
	}, func() { cancel(); all.Wait() })
	var channels []<-chan mutex.Result
	ctx, cancel = context.WithCancel(t.Context())
	chans := grown(func() {
		for range waiters {
			channels = append(channels, m.LockChan(ctx))
		}
	}, cancel)
	for _, c := range channels {
		if r := <-c; r.Err == nil {
			t.Error("who waits gets the lock")
		}
	}
	unlock(t, held)
	t.Logf("a goroutine that waits for nothing %.0f bytes, in LockContext %.0f, a channel of LockChan %.0f", own, waiting, chans)
	if n := waiting - own; n > 500 {
		t.Errorf("a call that waits takes %.0f bytes", n)
	}
	if chans > 600 {
		t.Errorf("a channel that waits takes %.0f bytes", chans)
	}
}

// counted is a ctx that counts how often it is asked for its Done.
type counted struct {
	context.Context
	n atomic.Int64
}

func (c *counted) Done() <-chan struct{} {
	c.n.Add(1)
	return c.Context.Done()
}
