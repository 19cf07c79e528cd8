package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultClockLeaps sets the server's clock forward by a minute (row 19): every
// key expires. The holder is told at its next renewal, who waits goes on, and the
// fence grows.
func TestFaultClockLeaps(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second // renewed every third of it
	s, clock := redistest.StartClocked(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	done := l.Done()
	next := queued(t, s, mutexOf(s.Client(t), ttl), 1)
	clock.Step(time.Minute)
	start := time.Now()
	loses(t, l, done, start, ttl/3)
	n := receive(t, "to go on waiting", next, poll)
	kit.Follows(t, l, n)
	keeps(t, n, ttl/2)
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultClockGoesBack sets the server's clock back by an hour (row 20): who
// lives keeps his lock and his place, who has died is not waited for for an hour.
func TestFaultClockGoesBack(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s, clock := redistest.StartClocked(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	next := queued(t, s, mutexOf(s.Client(t), ttl), 1)
	clock.Step(-time.Hour)
	keeps(t, l, ttl)
	excludes(t, next, 0)
	unlock(t, l)
	n := receive(t, "the hand-over", next, 0)
	unlock(t, n)
	kit.Follows(t, l, n)

	dead := redistest.NewProxy(t, s.Addr())
	l = lock(t, mutexOf(dead.Client(t), ttl))
	dead.Refuse(true)
	clock.Step(-2 * time.Hour)
	n = lockWithin(t, "to wait for the dead", mutexOf(s.Client(t), ample), ttl)
	kit.Follows(t, l, n)
	unlock(t, n)
}

// TestFaultClocksDisagree has a server whose clock is years from that of its
// clients (row 46): no time of a client's means anything to Redis, nor the
// other way round.
func TestFaultClocksDisagree(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	together(t, map[string]time.Duration{"Early": -5 * year, "Late": 5 * year}, func(t *testing.T, step time.Duration) {
		const ttl = time.Second
		s, clock := redistest.StartClocked(t)
		clock.Step(step)
		l := lock(t, mutexOf(s.Client(t), ttl))
		next := queued(t, s, mutexOf(s.Client(t), ttl), 1)
		keeps(t, l, ttl)
		excludes(t, next, 0)
		unlock(t, l)
		n := receive(t, "the hand-over", next, 0)
		keeps(t, n, ttl)
		unlock(t, n)
		rests(t, s, 0)
	})
}
