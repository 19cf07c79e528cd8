package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// queueMany puts n waiters into the queue of "key", last seen that long ago, in
// portions, as a script must not take long. Its owner's TTL lasts for all of them.
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

// TestManyWaiters counts what the server does for one who comes, and for one who is
// let in, behind a hundred thousand (row 53): no more than behind ten.
func TestManyWaiters(t *testing.T) {
	t.Parallel()
	work := func(waiters int) (asked, released int64) {
		s := redistest.Start(t)
		r := newRig(t, s.Client(t, redistest.Patient), "key")
		r.held(a)
		r.release(a)
		r.held(a, b)
		r.release(b)
		queueMany(t, s, waiters, -time.Hour) // in the future: they live, however long this takes
		before := s.Stats(t)
		r.acquire(b, 1)
		asked = total(s.Stats(t).Since(before))
		before = s.Stats(t)
		r.release(a)
		return asked, total(s.Stats(t).Since(before))
	}
	few, fewReleased := work(10)
	many, manyReleased := work(100_000)
	redistest.CheckCount(t, "the commands to queue behind 100,000", many, few)
	redistest.CheckCount(t, "the commands to hand over to one of 100,000", manyReleased, fewReleased)
}

// total is how many commands the server has executed, those of scripts among them.
func total(spent redistest.Stats) (n int64) {
	for _, calls := range spent.Calls {
		n += calls
	}
	return n
}

// TestRenewMany renews ten thousand locks in one pipeline (row 54), which is no
// more than a command each.
func TestRenewMany(t *testing.T) {
	r, s := realRig(t)
	r.held(a)
	r.renew(a)
	list := make([]lease.Renewal, 10_000)
	_, err := r.rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range list {
			list[i] = lease.Renewal{Name: mutexAt(fmt.Sprint("key", i)), Token: fmt.Sprint("baton:1:", i), TTL: lockTTL}
			p.Set(t.Context(), list[i].Key, list[i].Token, time.Minute)
		}
		return nil
	})
	check(t, err)
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
