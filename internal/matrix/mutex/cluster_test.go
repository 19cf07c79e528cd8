package mutex_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const movingTTL = 1500 * time.Millisecond

// movables has locks whose keys are in one slot.
var movables = map[string]func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan mutex.Result{
	"Mutex": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan mutex.Result {
		return mutexAt(rdb, key, movingTTL).LockChan(ctx)
	},
	"RWMutex": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan mutex.Result {
		m := mutex.NewRW(rdb, key)
		m.TTL = movingTTL
		return m.LockChan(ctx)
	},
	"Pool": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan mutex.Result {
		p := mutex.NewPool(rdb, "{t}")
		p.TTL = movingTTL
		return p.LockChan(ctx, key[len("{t}"):], "another", "third")
	},
}

// moving is the state of one movable lock.
type moving struct {
	key         string
	held        *mutex.Lease
	done        <-chan struct{} // nil if the hold may end
	next, third <-chan mutex.Result
	unlocked    chan error
}

// TestClusterSlotMoves moves the slot of held and awaited locks to another master, one key after
// another, and back (rows 9 and 10). The holds are renewed throughout, because a renewal names one key.
// Commands with several keys get TRYAGAIN and are retried: an unlock, an earlier and a later waiter.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "{t}")
	all := map[string]*moving{}
	await := func(m *moving) {
		t.Helper()
		redistest.Eventually(t, 5*time.Second, func() bool {
			return c.Owner(t, slot).Do(t, "ZCARD", "baton:{t}:queue:"+m.key) == int64(1)
		}, "%s has a waiter", m.key)
	}
	for name, lock := range movables {
		m := &moving{key: "{t}" + name, unlocked: make(chan error, 1)}
		m.held = receive(t, "to lock", lock(t.Context(), m.key, c.Client(t)), poll)
		m.done, m.next = m.held.Done(), lock(t.Context(), m.key, c.Client(t))
		await(m)
		all[name] = m
	}
	stay := func(waits func(*moving) <-chan mutex.Result, d time.Duration) {
		t.Helper()
		<-time.After(d) // the renewals during this time are under test
		for name, m := range all {
			select {
			case <-m.done:
				t.Errorf("%s: the hold is lost", name)
			case <-waits(m):
				t.Errorf("%s: granted while it is held, or while its keys are on two nodes", name)
			default:
			}
		}
	}
	next := func(m *moving) <-chan mutex.Result { return m.next }
	third := func(m *moving) <-chan mutex.Result { return m.third }

	refused := c.Errors(t, "TRYAGAIN")
	move := c.Migrate(t, slot)
	for _, m := range all {
		move.Move(t, m.key)
	}
	stay(next, movingTTL)
	for name, m := range all {
		m.done = nil
		go func() { m.unlocked <- m.held.Unlock() }()
		m.third = movables[name](t.Context(), m.key, c.Client(t))
	}
	stay(next, 100*time.Millisecond)
	stay(third, 0)
	if n := c.Errors(t, "TRYAGAIN") - refused; n < int64(len(all)) {
		t.Errorf("%d scripts were refused", n)
	}
	move.Finish(t)
	start := time.Now()
	for name, m := range all {
		must(kit.Receive(t, "the unlock of "+name, m.unlocked, start, poll))
		first := m.held
		var r mutex.Result
		select {
		case r = <-m.next:
		case r = <-m.third: // possible if the first waiter's entry has expired
			m.third = m.next
		case <-time.After(redistest.Patience):
			t.Fatalf("%s: not granted after the move", name)
		}
		checkBound(t, "the grant after the move", start, poll)
		m.held = got(r.Lease, r.Err)(t)
		m.done = m.held.Done()
		kit.ExpectFencesGrow(t, first, m.held)
	}

	for _, m := range all {
		await(m)
	}
	c.Migrate(t, slot).Finish(t)
	stay(third, movingTTL)
	for _, m := range all {
		unlock(t, m.held)
		last := receive(t, "the hand-over after the move", m.third, 0)
		kit.ExpectFencesGrow(t, m.held, last)
		unlock(t, last)
	}
}
