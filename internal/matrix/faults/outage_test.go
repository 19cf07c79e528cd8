package faults

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRedisDown stops Redis for some seconds (row 44): connections are refused, or closed as soon as they
// are made. The holder's loss is reported in time. Waiters of both styles dial ever more rarely, and
// continue after the outage.
func TestRedisDown(t *testing.T) {
	each(t, map[string]bool{"Dead": true, "Closing": false}, func(t *testing.T, dead bool) {
		const ttl, outage = time.Second, 2 * time.Second
		s, p := proxied(t)
		client, begin, end := p.Client, func() { p.Refuse(true) }, func() { p.Refuse(false) }
		if dead {
			client, begin, end = s.Client, s.Kill, func() { check(t, s.Restart()) }
		}
		var dials atomic.Int64
		dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second})
		m := mutexOf(client(t, func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, addr)
			}
		}), ttl)
		l := lock(t, mutexOf(client(t), ttl))
		done, next := l.Done(), enqueue(t, s, m, 1)
		locked := make(chan struct{})
		go func() {
			m.Lock()
			close(locked)
		}()
		begin()
		start, before := time.Now(), dials.Load()
		expectLoss(t, l, done, start, ttl)
		expectExcluded(t, next, time.Until(start.Add(outage)))
		redistest.CheckCount(t, "the dials in an outage of two seconds", dials.Load()-before, 40)
		end()
		start = time.Now()
		unlock(t, grant(t, "to lock when Redis is back", next, poll))
		<-locked
		checkBound(t, "both locks", start, poll)
		m.Unlock()
		expectNothingLeft(t, s, poll)
	})
}

// TestLostPermitsCountInTheirProcess loses permits that were acquired by Acquire (row 44). In the same
// Weighted they count until Release, in other processes they do not.
func TestLostPermitsCountInTheirProcess(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s, p := proxied(t)
	sem, other := weightedOf(p.Client(t), 5, ttl), weightedOf(s.Client(t), 5, ample)
	check(t, sem.Acquire(t.Context(), 3))
	lost := acquire(t, sem, 1)
	next := other.AcquireChan(t.Context(), 5)
	awaitQueue(t, s, "key", 1)
	p.Refuse(true)
	r := receive(t, "to acquire the lost permits", next, time.Now(), ttl+poll)
	check(t, r.Err)
	release(t, r.Lease)
	p.Refuse(false)
	is(t, "Err after the loss", lost.Err(), mutex.ErrLost)

	check(t, sem.Acquire(t.Context(), 2)) // 5 of 5 are inside
	in := make(chan error)
	go func() { in <- sem.Acquire(t.Context(), 1) }()
	expectNone(t, "a sixth holder of 5 permits in one Weighted", in, 200*time.Millisecond)
	if sem.TryAcquire(1) {
		t.Error("TryAcquire succeeds with 5 of 5 permits in use")
	}
	release(t, acquire(t, other, 3)) // in another process, they are free
	expectNone(t, "a sixth holder of 5 permits in one Weighted", in, 0)
	sem.Release(1) // releases the oldest permits, which are lost
	check(t, <-in)
	sem.Release(5)
	if redistest.Outcome(func() error { sem.Release(1); return nil }) == nil {
		t.Error("Release of unheld permits did not panic")
	}
	expectNothingLeft(t, s, poll)
}
