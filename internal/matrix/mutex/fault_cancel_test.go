package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// waitMethods has the two ways to wait.
var waitMethods = map[string]func(context.Context, *mutex.Mutex) (*mutex.Lease, error){
	"LockContext": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) { return m.LockContext(ctx) },
	"LockChan": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) {
		r := <-m.LockChan(ctx)
		return r.Lease, r.Err
	},
}

// cancelAfter waits with a ctx that is canceled after some time. It checks that the call then returns
// at once, with a valid lease or with the error of ctx.
func cancelAfter(t *testing.T, acquire func(context.Context, *mutex.Mutex) (*mutex.Lease, error), m *mutex.Mutex, after time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var end time.Time
	ended := time.AfterFunc(after, func() {
		end = time.Now()
		cancel()
	})
	defer ended.Stop()
	l, err := acquire(ctx, m)
	switch {
	case err == nil:
		cancel()
		if l.Err() != nil {
			t.Errorf("got an ended lease: %v", l.Err())
		}
		unlock(t, l) // works although ctx is done
	case l != nil || !errors.Is(err, context.Canceled) || ctx.Err() == nil:
		t.Errorf("got %v, %v", l, err)
	default:
		if late := time.Since(end); late > slack+redistest.Allowance(end) {
			t.Errorf("returned %v after the end of ctx", late)
		}
	}
}

// TestFaultCancel cancels ctx at many points (row 30) of acquiring a free lock and a handed-over lock,
// on a slow network. No owner and no queue entry may be left.
func TestFaultCancel(t *testing.T) {
	t.Parallel()
	const step, steps, rtt = 500 * time.Microsecond, 80, 10 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	p.SetDelay(rtt / 2)
	var wg sync.WaitGroup
	for name, acquire := range waitMethods {
		for _, contended := range []bool{false, true} {
			wg.Go(func() {
				for i := range steps {
					key := fmt.Sprint(name, contended, i)
					if contended { // released at some point of the wait
						holder, err := mutex.New(other, key).LockContext(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						wg.Go(func() {
							<-time.After(step * time.Duration(i*7%steps))
							unlock(t, holder)
						})
					}
					cancelAfter(t, acquire, mutex.New(rdb, key), step*time.Duration(i))
				}
			})
		}
	}
	wg.Wait()
	expectNothingLeft(t, s, poll)
	kit.ExpectFault(t, "no traffic was delayed", p.Faults().Delayed)
}

// TestFaultCancelBlackhole cancels ctx while the traffic is dropped (row 30), in each state of a wait.
// The delayed requests are finally executed, and undone.
func TestFaultCancelBlackhole(t *testing.T) {
	t.Parallel()
	const after = 50 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	unlock(t, lock(t, mutexOf(other, time.Second)))

	held := mutex.New(other, "held")
	l := lock(t, held)
	ctx, cancel := context.WithCancel(t.Context())
	queue := mutex.New(rdb, "held").LockChan(ctx)
	redistest.Eventually(t, poll, func() bool { return s.Do(t, "ZCARD", "baton:{held}:queue") == int64(1) }, "the waiter is queued")
	p.Blackhole(true)
	var wg sync.WaitGroup
	for name, acquire := range waitMethods {
		wg.Go(func() { cancelAfter(t, acquire, mutex.New(rdb, name), after) })
		wg.Go(func() { cancelAfter(t, acquire, mutex.New(rdb, "held"), after) })
	}
	wg.Wait()
	cancel()
	start := time.Now()
	if r := <-queue; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("the queued waiter got %v", r)
	}
	checkBound(t, "to stop waiting", start, 0)
	kit.ExpectFault(t, "no traffic was delayed", p.Faults().Held)
	p.Blackhole(false)
	start = time.Now()
	unlock(t, l)
	for name := range waitMethods {
		m := mutex.New(other, name)
		unlock(t, lockWithin(t, "to lock a key whose waiter gave up", m, poll))
	}
	unlock(t, lockWithin(t, "to lock the key with a queued waiter", held, poll))
	checkBound(t, "all locks", start, poll)
	expectNothingLeft(t, s, lease.WaiterTTL)
}
