package mutex_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A panic of a hook reaches the caller of the request. Afterwards the lock can be locked again.
func TestPanicOfAHookReachesItsCaller(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		var armed atomic.Bool
		rdb.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
			if armed.CompareAndSwap(true, false) {
				panic("in a hook")
			}
		}))
		panics := func(f func()) {
			t.Helper()
			armed.Store(true)
			mustPanic(t, "in a hook", f)
			time.Sleep(mutex.DefaultTTL) // until a possible hold has expired
		}
		l := k.of(rdb, "key", standard)
		for _, ctx := range []context.Context{context.Background(), t.Context()} {
			panics(func() { _, _ = l.lockContext(ctx) })
			panics(func() { _, _ = l.tryLockContext(ctx) })
			h := l.hold(t)
			panics(func() { _ = h.Unlock() })
			armed.Store(true)
			if r := <-l.lockChan(ctx); r.Err == nil || !strings.Contains(r.Err.Error(), "in a hook") {
				t.Errorf("LockChan yields %v", r)
			}
			time.Sleep(mutex.DefaultTTL)
			unlock(t, l.hold(t))
		}
	})
}

// Each request for a single caller has the values of the caller's ctx: the first, the polls, the
// release, the withdrawal, and the retries of all.
func TestRequestsOfASingleCallerCarryItsValues(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		var tenants redistest.Tenants
		client := sibling(t, rdb)
		tenants.AddToFailing(client)
		l, rival := k.of(client, "key", longTTL), k.rival().of(rdb, "key", longTTL)
		ctx := tenants.Context(t.Context(), "key")
		free, err := l.lockContext(ctx)
		must(err)
		unlock(t, free)
		first := rival.hold(t)
		next := l.lockChan(ctx)
		time.Sleep(3 * poll)
		unlock(t, first)
		unlock(t, receive(t, next))

		second := rival.hold(t)
		cut, cancel := context.WithTimeout(ctx, 3*poll)
		defer cancel()
		if _, err := l.lockContext(cut); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lockContext of a held lock: %v", err)
		}
		time.Sleep(poll)
		unlock(t, second)
		tenants.CheckAll(t)
	})
}

// A panic of a hook in a renewal reaches no caller, and loses no lease.
func TestPanicOfAHookInARenewalLosesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var together, alone atomic.Bool
		rdb := bubbleClient(t)
		rdb.AddHook(redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error {
			if len(cmds) > 1 && together.CompareAndSwap(true, false) || len(cmds) == 1 && alone.CompareAndSwap(true, false) {
				panic("in a hook")
			}
			return nil
		}))
		var all []*mutex.Lease
		for _, key := range []string{"a", "b", "c"} {
			all = append(all, lock(t, mutex.New(rdb, key)))
		}
		for range 3 {
			together.Store(true)
			alone.Store(true) // for the first renewal that is then sent alone
			time.Sleep(mutex.DefaultTTL)
			if together.Load() || alone.Load() {
				t.Error("a hook has not panicked")
			}
		}
		for _, l := range all {
			unlock(t, l)
		}
	})
}

// After a panic of a hook in the subscription, which no caller can recover, polls find a hand-over.
func TestPanicOfAHookInTheSubscription(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var armed atomic.Bool
	rdb := server.Client(t, redistest.Patient) // a late reply would cost a connection, and the next command would dial
	rdb.AddHook(redistest.Hook{Dial: func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error) {
		if armed.CompareAndSwap(true, false) {
			panic("in a hook")
		}
		return next(ctx, network, addr)
	}})
	held, m := lock(t, mutex.New(server.Client(t), "key")), mutex.New(rdb, "key")
	unlock(t, lock(t, mutex.New(rdb, "other"))) // opens a connection for commands
	armed.Store(true)
	next := m.LockChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return !armed.Load() }, "the hook panics")
	awaitWaiters(t, m.Inspect, 1)
	unlock(t, held)
	unlock(t, receive(t, next))
}
