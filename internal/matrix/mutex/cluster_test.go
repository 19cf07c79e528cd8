package mutex_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestCluster locks keys of all shapes on a cluster, which refuses a script whose
// keys do not share a slot.
func TestCluster(t *testing.T) {
	c := redistest.StartCluster(t, 1)
	s, a, b := c.Nodes[0], c.Client(t), c.Client(t)
	for _, key := range []string{"key", "{tag}key", "a}b", "{}", "}{", "a{b", "{{a}}", "two words", "line\nline", "nul\x00", "ключ"} {
		here, there := mutex.New(a, key), mutex.New(b, key)
		held := lock(t, here)
		if there.TryLock() {
			t.Fatalf("%q is locked twice", key)
		}
		next := there.LockChan(t.Context())
		redistest.Eventually(t, 5*time.Second, func() bool { // queued
			for _, k := range s.Keys(t) {
				if strings.Contains(k, ":queue") {
					return true
				}
			}
			return false
		}, "%q: nobody queues", key)
		start := time.Now()
		unlock(t, held)
		r := <-next
		if r.Err != nil || r.Lease.Fence() <= held.Fence() {
			t.Fatalf("%q: %v", key, r)
		}
		if got := time.Since(start); got > 900*time.Millisecond {
			t.Errorf("%q: handed over after %v: that was a poll, not a message", key, got)
		}
		unlock(t, r.Lease)
	}
}

// A hold is what a test of a cluster has of any lock of this package.
type hold struct {
	done   <-chan struct{} // nil if the lock's style has none
	fence  int64           // 0 if it has none
	unlock func() error
}

const movingTTL = 1500 * time.Millisecond

// leased waits for a lock in the lease style.
func leased(lockChan func() <-chan mutex.Result) <-chan hold {
	c := make(chan hold, 1)
	go func() {
		if r := <-lockChan(); r.Err == nil {
			c <- hold{r.Lease.Done(), r.Lease.Fence(), r.Lease.Unlock}
		}
	}()
	return c
}

// locked waits for a lock in sync's style.
func locked(lock, unlock func()) <-chan hold {
	c := make(chan hold, 1)
	go func() {
		defer func() { _ = recover() }() // of a test that has failed: its client is closed
		lock()
		c <- hold{unlock: func() error { unlock(); return nil }}
	}()
	return c
}

// movables are locks of one slot, which a cluster moves.
var movables = map[string]func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan hold{
	"Lease": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		m := mutex.New(rdb, key)
		m.TTL = movingTTL
		return leased(func() <-chan mutex.Result { return m.LockChan(ctx) })
	},
	"Sync": func(_ context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		m := mutex.New(rdb, key)
		m.TTL = movingTTL
		return locked(m.Lock, m.Unlock)
	},
	"Term": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		e, c := mutex.NewElection(rdb, key), make(chan hold, 1)
		e.TTL, e.Value = movingTTL, key
		go func() {
			if r := <-e.CampaignChan(ctx); r.Err == nil {
				c <- hold{r.Term.Done(), r.Term.Number(), r.Term.Resign}
			}
		}()
		return c
	},
	"RWLease": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		m := mutex.NewRW(rdb, key)
		m.TTL = movingTTL
		return leased(func() <-chan mutex.Result { return m.LockChan(ctx) })
	},
	"RWSync": func(_ context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		m := mutex.NewRW(rdb, key)
		m.TTL = movingTTL
		return locked(m.Lock, m.Unlock)
	},
	"PoolLease": func(ctx context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		p := mutex.NewPool(rdb, "{t}")
		p.TTL = movingTTL
		return leased(func() <-chan mutex.Result { return p.LockChan(ctx, key[len("{t}"):], "another", "third") })
	},
	"PoolSync": func(_ context.Context, key string, rdb redis.UniversalClient) <-chan hold {
		p := mutex.NewPool(rdb, "{t}")
		p.TTL = movingTTL
		return locked(func() { p.Lock(key[len("{t}"):]) }, func() { p.Unlock(key[len("{t}"):]) })
	},
}

// moving is one of the movables at work.
type moving struct {
	held                  hold
	next, third           <-chan hold
	unlocked              chan error
	queued                string // exists once the lock is awaited
	holder, waiter, comer redis.UniversalClient
}

// TestClusterSlotMoves moves the slot of locks that are held and awaited to
// another master, one key after the other, and back (rows 9 and 10). The holds are
// renewed throughout, for a renewal names one key. What names several is
// answered TRYAGAIN meanwhile, and is waited out: an unlock, who waited before,
// and who comes.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "{t}")
	all := map[string]*moving{}
	for name, lock := range movables {
		key := "{t}" + name
		m := &moving{unlocked: make(chan error, 1), holder: c.Client(t), waiter: c.Client(t), comer: c.Client(t)}
		m.queued = "baton:{t}:queue:" + key
		if strings.HasPrefix(name, "RW") {
			m.queued = "baton:{t}:queue:" + key
		}
		m.held = <-lock(t.Context(), key, m.holder)
		m.next = lock(t.Context(), key, m.waiter)
		all[name] = m
	}
	await := func(queued string) {
		t.Helper()
		redistest.Eventually(t, 5*time.Second, func() bool {
			return c.Owner(t, slot).Do(t, "ZCARD", queued) == int64(1)
		}, "%s: it is awaited", queued)
	}
	stay := func(next func(*moving) <-chan hold, d time.Duration) {
		t.Helper()
		<-time.After(d) // the renewals that fall into it are what is tested
		for name, m := range all {
			select {
			case <-m.held.done:
				t.Errorf("%s: the hold is lost", name)
			case <-next(m):
				t.Errorf("%s: let in while another holds the lock, or with the keys apart", name)
			default:
			}
		}
	}
	next := func(m *moving) <-chan hold { return m.next }
	third := func(m *moving) <-chan hold { return m.third }
	for _, m := range all {
		await(m.queued)
	}
	refused := c.Errors(t, "TRYAGAIN")
	move := c.Migrate(t, slot)
	for name := range all {
		move.Move(t, "{t}"+name)
	}
	stay(next, movingTTL)
	for name, m := range all {
		m.held.done = nil // it is to end now
		unlock := m.held.unlock
		go func() { m.unlocked <- unlock() }()
		m.third = movables[name](t.Context(), "{t}"+name, m.comer)
	}
	stay(next, 100*time.Millisecond)
	stay(third, 0)
	if n := c.Errors(t, "TRYAGAIN") - refused; n < int64(len(all)) {
		t.Errorf("%d scripts were refused", n)
	}
	move.Finish(t)
	start := time.Now()
	for name, m := range all {
		first := m.held
		select {
		case m.held = <-m.next:
		case m.held = <-m.third: // whose turn it is if the other's place has run out meanwhile
			m.third = m.next
		case <-time.After(10 * poll):
			t.Fatalf("%s: nobody is let in after the move", name)
		}
		redistest.CheckDuration(t, "to be let in after the move", start, poll, slack)
		if err := <-m.unlocked; err != nil {
			t.Errorf("%s: Unlock: %v", name, err)
		}
		if first.fence != 0 && m.held.fence <= first.fence {
			t.Errorf("%s: fence %d after %d", name, m.held.fence, first.fence)
		}
	}

	for _, m := range all {
		await(m.queued)
	}
	c.Migrate(t, slot).Finish(t)
	stay(third, movingTTL)
	for name, m := range all {
		start := time.Now()
		if err := m.held.unlock(); err != nil {
			t.Errorf("%s: Unlock: %v", name, err)
		}
		last := <-m.third
		redistest.CheckDuration(t, "the hand-over after the move", start, 0, slack)
		if m.held.fence != 0 && last.fence <= m.held.fence {
			t.Errorf("%s: fence %d after %d", name, last.fence, m.held.fence)
		}
		if err := last.unlock(); err != nil {
			t.Errorf("%s: Unlock: %v", name, err)
		}
	}
}
