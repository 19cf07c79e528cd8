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

// asks are the two ways to wait.
var asks = map[string]func(context.Context, *mutex.Mutex) (*mutex.Lease, error){
	"LockContext": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) { return m.LockContext(ctx) },
	"LockChan": func(ctx context.Context, m *mutex.Mutex) (*mutex.Lease, error) {
		r := <-m.LockChan(ctx)
		return r.Lease, r.Err
	},
}

// attempt asks with a ctx that ends after some time, and checks that the answer
// then comes at once and is either a lease that is held or the error of ctx.
func attempt(t *testing.T, ask func(context.Context, *mutex.Mutex) (*mutex.Lease, error), m *mutex.Mutex, after time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var end time.Time
	ended := time.AfterFunc(after, func() {
		end = time.Now()
		cancel()
	})
	defer ended.Stop()
	l, err := ask(ctx, m)
	switch {
	case err == nil:
		cancel()
		if l.Err() != nil {
			t.Errorf("got a lease that has ended: %v", l.Err())
		}
		unlock(t, l) // though ctx has ended
	case l != nil || !errors.Is(err, context.Canceled) || ctx.Err() == nil:
		t.Errorf("got %v, %v", l, err)
	default:
		if late := time.Since(end); late > slack+redistest.Allowance(end) {
			t.Errorf("returned %v after the end of ctx", late)
		}
	}
}

// TestFaultCancel ends ctx at many instants (row 30) of an acquire of a free lock
// and of one that is handed over, on a slow network, and checks that nothing is
// left: no owner, no place in the queue.
func TestFaultCancel(t *testing.T) {
	t.Parallel()
	const step, steps, rtt = 500 * time.Microsecond, 80, 10 * time.Millisecond
	s, p := kit.Proxied(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	p.SetDelay(rtt / 2)
	var wg sync.WaitGroup
	for name, ask := range asks {
		for _, contended := range []bool{false, true} {
			wg.Go(func() {
				for i := range steps {
					key := fmt.Sprint(name, contended, i)
					if contended { // released at some time of the wait
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
					attempt(t, ask, mutex.New(rdb, key), step*time.Duration(i))
				}
			})
		}
	}
	wg.Wait()
	rests(t, s, poll)
	kit.Fired(t, "nothing was slow", p.Faults().Delayed)
}

// TestFaultCancelBlackhole ends ctx while nothing comes through (row 30), in each
// state of a wait. What is held up is executed in the end, and undone.
func TestFaultCancelBlackhole(t *testing.T) {
	t.Parallel()
	const after = 50 * time.Millisecond
	s, p := kit.Proxied(t)
	rdb, other := p.Client(t), s.Client(t)
	unlock(t, lock(t, mutexOf(rdb, time.Second)))
	unlock(t, lock(t, mutexOf(other, time.Second)))

	held := mutex.New(other, "held")
	l := lock(t, held)
	ctx, cancel := context.WithCancel(t.Context())
	queue := mutex.New(rdb, "held").LockChan(ctx)
	redistest.Eventually(t, poll, func() bool { return s.Do(t, "ZCARD", "baton:{held}:queue") == int64(1) }, "one is queued")
	p.Blackhole(true)
	var wg sync.WaitGroup
	for name, ask := range asks {
		wg.Go(func() { attempt(t, ask, mutex.New(rdb, name), after) })
		wg.Go(func() { attempt(t, ask, mutex.New(rdb, "held"), after) })
	}
	wg.Wait()
	cancel()
	start := time.Now()
	if r := <-queue; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("the queued one got %v", r)
	}
	bounded(t, "to stop waiting", start, 0)
	kit.Fired(t, "nothing was held up", p.Faults().Held)
	p.Blackhole(false)
	start = time.Now()
	unlock(t, l)
	for name := range asks {
		m := mutex.New(other, name)
		unlock(t, lockWithin(t, "to lock what was given up", m, poll))
	}
	unlock(t, lockWithin(t, "to lock what was waited for", held, poll))
	bounded(t, "all", start, poll)
	rests(t, s, lease.WaiterTTL)
}
