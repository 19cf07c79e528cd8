package redisstore

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// queueMany adds n waiters, last seen that long ago, to the queue of "key". It adds them in
// portions, as a script must not take long, and extends the owner's TTL.
func queueMany(t *testing.T, s *redistest.Server, n int, ago time.Duration) {
	t.Helper()
	const portion = 5000
	const fill = `for i = ARGV[3], ARGV[1] do
		redis.call('ZADD', KEYS[1], i, 'baton:1000:' .. i)
		redis.call('HSET', KEYS[2], 'baton:1000:' .. i, ARGV[2] .. ' 1 1000 nowhere key')
	end`
	s.Do(t, "PEXPIRE", "key", time.Hour.Milliseconds())
	for from := 1; from <= n; from += portion {
		s.Do(t, "EVAL", fill, 2, "baton:{key}:queue", "baton:{key}:waiters", min(n, from+portion-1), time.Now().Add(-ago).UnixMilli(), from)
	}
}

// TestManyWaiters counts the commands to queue a waiter and to hand over, with a hundred thousand
// waiters (row 53). They must be as many as with ten waiters.
func TestManyWaiters(t *testing.T) {
	t.Parallel()
	work := func(waiters int) (queued, released int64) {
		s := redistest.Start(t)
		r := newRig(t, s.Client(t, redistest.Patient), "key")
		r.held(a)
		r.release(a)
		r.held(a, b)
		r.release(b)
		queueMany(t, s, waiters, -time.Hour) // in the future: they do not become stale during the test
		before := s.Stats(t)
		r.acquire(b, 1)
		queued = total(s.Stats(t).Since(before))
		before = s.Stats(t)
		r.release(a)
		return queued, total(s.Stats(t).Since(before))
	}
	few, fewReleased := work(10)
	many, manyReleased := work(100_000)
	redistest.CheckCount(t, "the commands to queue behind 100,000", many, few)
	redistest.CheckCount(t, "the commands to hand over to one of 100,000", manyReleased, fewReleased)
}

// total returns how many commands the server has executed, including those of scripts.
func total(spent redistest.Stats) (n int64) {
	for _, calls := range spent.Calls {
		n += calls
	}
	return n
}

// TestRenewMany renews ten thousand locks in one pipeline (row 54), with one command each.
func TestRenewMany(t *testing.T) {
	r, s := realRig(t)
	r.held(a)
	r.renew(a)
	list := r.heldMany(10_000)
	before := s.Stats(t)
	for i, got := range renewAll(r, list) {
		if got != (lease.RenewResult{Held: true}) {
			t.Fatalf("the renewal of lock %d: %v", i, got)
		}
	}
	spent := s.Stats(t).Since(before)
	redistest.CheckCount(t, "the commands to renew 10,000", spent.Scripts(), 10_000)
	equal(t, "messages", spent.Published(), 0)
}
