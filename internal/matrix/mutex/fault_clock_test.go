package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultClockLeaps sets the server's clock forward by a minute (row 19), so every key expires. The
// loss is reported at the holder's next renewal, the waiter gets the lock, and the fence grows.
func TestFaultClockLeaps(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second // renewed every third of it
	s, clock := redistest.StartClocked(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	done := l.Done()
	next := enqueue(t, s, mutexOf(s.Client(t), ttl), 1)
	clock.Step(time.Minute)
	start := time.Now()
	expectLoss(t, l, done, start, ttl/3)
	n := receive(t, "to acquire the expired lock", next, poll)
	kit.ExpectFencesGrow(t, l, n)
	expectKept(t, n, ttl/2)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultClockGoesBack sets the server's clock back by an hour (row 20). Live holders and waiters keep
// their locks and places. A dead holder's lock does not last for an hour.
func TestFaultClockGoesBack(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s, clock := redistest.StartClocked(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	next := enqueue(t, s, mutexOf(s.Client(t), ttl), 1)
	clock.Step(-time.Hour)
	expectKept(t, l, ttl)
	expectExcluded(t, next, 0)
	unlock(t, l)
	n := receive(t, "the hand-over", next, 0)
	unlock(t, n)
	kit.ExpectFencesGrow(t, l, n)

	dead := redistest.NewProxy(t, s.Addr())
	l = lock(t, mutexOf(dead.Client(t), ttl))
	dead.Refuse(true)
	clock.Step(-2 * time.Hour)
	n = lockWithin(t, "to acquire the dead holder's lock", mutexOf(s.Client(t), ample), ttl)
	kit.ExpectFencesGrow(t, l, n)
	unlock(t, n)
}

// TestFaultClocksDisagree uses a server whose clock is years off (row 46). Redis uses no times of its
// clients, and clients use no times of Redis.
func TestFaultClocksDisagree(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	runTogether(t, map[string]time.Duration{"Early": -5 * year, "Late": 5 * year}, func(t *testing.T, step time.Duration) {
		const ttl = time.Second
		s, clock := redistest.StartClocked(t)
		clock.Step(step)
		l := lock(t, mutexOf(s.Client(t), ttl))
		next := enqueue(t, s, mutexOf(s.Client(t), ttl), 1)
		expectKept(t, l, ttl)
		expectExcluded(t, next, 0)
		unlock(t, l)
		n := receive(t, "the hand-over", next, 0)
		expectKept(t, n, ttl)
		unlock(t, n)
		expectNothingLeft(t, s, 0)
	})
}
