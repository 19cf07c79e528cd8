package mutex_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// An operation allocates little more than the floor: SET NX PX, and a script that compares and
// deletes. The numbers do not depend on the machine.
func TestCostAllocations(t *testing.T) {
	if redistest.Race {
		t.Skip("the race detector allocates, too; run it without -race: go test -run TestCostAllocations ./...")
	}
	s := redistest.Start(t)
	rdb, ctx := s.Client(t), t.Context()
	m, rw, p := mutex.New(rdb, "key"), mutex.NewRW(rdb, "rw"), mutex.NewPool(rdb, "{p}:")
	held, reader := lock(t, mutex.New(s.Client(t), "held")), rlock(t, rw)
	taken, inside := mutex.New(rdb, "held"), mutex.New(rdb, "inside")
	owner := lock(t, inside)
	floor := func() {
		rdb.SetNX(ctx, "floor", "me", mutex.DefaultTTL)
		compareAndDelete.Run(ctx, rdb, []string{"floor"}, "me")
	}
	floor()
	least := testing.AllocsPerRun(200, floor)
	for _, op := range []struct {
		name string
		most float64
		do   func()
	}{
		{"Lock and Unlock", least + 18, func() { m.Lock(); m.Unlock() }}, //lint:ignore SA2001 the test measures this
		{"LockContext and Lease.Unlock", least + 21, func() { unlock(t, lock(t, m)) }},
		{"LockChan", least + 27, func() { unlock(t, (<-m.LockChan(ctx)).Lease) }},
		{"Lock and Unlock of a Pool", least + 24, func() { p.Lock("a"); p.Unlock("a") }},
		{"TryLock of a held lock", 22, func() { taken.TryLock() }},
		{"a reader that joins", 2, func() { unlock(t, rlock(t, rw)) }},
		{"a hand-over inside the process", 9, func() {
			next := inside.LockChan(ctx)
			unlock(t, owner)
			owner = (<-next).Lease
		}},
	} {
		op.do()
		n := testing.AllocsPerRun(200, op.do)
		for range 5 { // what a busy machine makes the client repeat allocates, too
			if n > op.most {
				n = min(n, testing.AllocsPerRun(200, op.do))
			}
		}
		if n > op.most {
			t.Errorf("%s: %.0f allocations, want at most %.0f; the floor has %.0f", op.name, n, op.most, least)
		}
	}
	for _, l := range []*mutex.Lease{reader, owner, held} {
		unlock(t, l)
	}
}

var compareAndDelete = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
