package mutex_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A lingerer locks and unlocks a key in one way.
type lingerer struct {
	pair  func()              // of the process that lingers
	lock  func() *mutex.Lease // of another process
	try   func() (*mutex.Lease, error)
	state func() mutex.Status
}

// lingerers returns each kind of lock of two processes, of which the first lingers.
func lingerers(t *testing.T, rdb, other *redis.Client, linger time.Duration) map[string]lingerer {
	m, m2 := mutex.New(rdb, "mutex"), mutex.New(other, "mutex")
	rw, rw2 := mutex.NewRW(rdb, "rw"), mutex.NewRW(other, "rw")
	p, p2 := mutex.NewPool(rdb, "pool:"), mutex.NewPool(other, "pool:")
	m.Linger, rw.Linger, p.Linger = linger, linger, linger
	got := func(l *mutex.Lease, err error) *mutex.Lease {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	state := func(s mutex.Status, err error) mutex.Status {
		must(err)
		return s
	}
	return map[string]lingerer{
		"Lock": {
			func() { m.Lock(); m.Unlock() }, //lint:ignore SA2001 only the cost counts
			func() *mutex.Lease { return lock(t, m2) },
			func() (*mutex.Lease, error) { return m2.TryLockContext(t.Context()) },
			func() mutex.Status { return state(m2.Inspect(t.Context())) },
		},
		"LockContext": {
			func() { unlock(t, lock(t, m)) },
			func() *mutex.Lease { return lock(t, m2) },
			func() (*mutex.Lease, error) { return m2.TryLockContext(t.Context()) },
			func() mutex.Status { return state(m2.Inspect(t.Context())) },
		},
		"RWMutex": {
			func() { unlock(t, got(rw.LockContext(t.Context()))) },
			func() *mutex.Lease { return got(rw2.RLockContext(t.Context())) },
			func() (*mutex.Lease, error) { return rw2.TryRLockContext(t.Context()) },
			func() mutex.Status { return state(rw2.Inspect(t.Context())) },
		},
		"Pool": {
			func() { unlock(t, got(p.LockContext(t.Context(), "a", "b"))) },
			func() *mutex.Lease { return got(p2.LockContext(t.Context(), "b", "c")) },
			func() (*mutex.Lease, error) { return p2.TryLockContext(t.Context(), "b", "a") },
			func() mutex.Status { return state(p2.Inspect(t.Context(), "a")) },
		},
		"Pool.Lock": {
			func() { p.Lock("k"); p.Unlock("k") },
			func() *mutex.Lease { return got(p2.LockContext(t.Context(), "k")) },
			func() (*mutex.Lease, error) { return p2.TryLockContext(t.Context(), "k") },
			func() mutex.Status { return state(p2.Inspect(t.Context(), "k")) },
		},
	}
}

// A process that locks the same key again and again gets by with almost no requests, and
// another process gets the lock nevertheless, by waiting and by trying.
func TestCostLinger(t *testing.T) {
	s := redistest.Start(t)
	rdb, other := s.Client(t), s.Client(t)
	for name, l := range lingerers(t, rdb, other, time.Second) {
		t.Run(name, func(t *testing.T) {
			const n = 1000
			warm := func() {
				for range 10 {
					l.pair()
					time.Sleep(time.Millisecond) // for the subscription
				}
			}
			warm()
			before := s.Stats(t)
			for range n {
				l.pair()
			}
			cost := s.Stats(t).Since(before)
			if cost.Scripts() > n/100 || cost.Published() != 0 {
				t.Errorf("%d pairs cost %d requests, %d messages", n, cost.Scripts(), cost.Published())
			}
			unlock(t, l.lock())
			warm()
			for range 20 { // of them one may come too late for a process that is not scheduled
				tried, err := l.try()
				if err == nil {
					unlock(t, tried)
					return
				} else if !errors.Is(err, mutex.ErrLocked) {
					t.Fatal(err)
				}
				warm()
			}
			t.Error("a try fails because of a claim that only lingers")
		})
	}
}

// On each server, a claim that only lingers makes way for another process, and nothing is left
// in the end.
func TestLinger(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for name, l := range lingerers(t, rdb, anotherClient(t, rdb), 500*time.Millisecond) {
			for range 3 {
				for range 10 {
					l.pair()
				}
				unlock(t, l.lock())
			}
			l.pair()
			redistest.Eventually(t, 5*time.Second, func() bool { return !l.state().Held() }, "%s is held in the end", name)
		}
	})
}

// Linger is cut to a tenth of TTL, and a negative one is an error.
func TestLingerBounds(t *testing.T) {
	m := mutex.New(miniClient(t), "key")
	m.Linger = -1
	if _, err := m.LockContext(t.Context()); err == nil || err.Error() != `baton: lock "key": the time to Linger is negative: -1ns` {
		t.Error(err)
	}
}
