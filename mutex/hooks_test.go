package mutex_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A panic of a hook reaches the caller whose request it met, and the lock can be had again.
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
			time.Sleep(mutex.DefaultTTL) // for what nobody knows to be held
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

// Each request of a caller that is alone has the values of its ctx: the first, the polls, the
// release, those that withdraw it, and the repetitions of all.
func TestEachRequestOfALoneCallerCarriesItsValues(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		var tenants redistest.Tenants
		alone := sibling(t, rdb)
		tenants.Alone(alone)
		l, rival := k.of(alone, "key", forever), k.rival().of(rdb, "key", forever)
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
			t.Errorf("the lock is held: %v", err)
		}
		time.Sleep(poll)
		unlock(t, second)
		tenants.CheckAll(t)
	})
}

// When Redis is near, a free lock needs no other goroutine under a ctx that can be canceled.
func TestLockIsSentOnTheCallersGoroutine(t *testing.T) {
	for name, rdb := range map[string]redis.UniversalClient{
		"a server": redistest.Start(t).Client(t), "a cluster": redistest.StartCluster(t, 3).Client(t),
	} {
		var sender string // the goroutine that has sent the last script
		rdb.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
			sender = goroutineID()
		}))
		m := mutex.New(rdb, "key")
		caller, sent := goroutineID(), 0
		for i := 0; sent < 10; i++ { // the first lock measures the round trip, and on a busy machine one may take long
			l := lock(t, m)
			if sender == caller {
				sent++
			}
			unlock(t, l)
			if i == 10_000 {
				t.Fatalf("%s: %d of %d locks were sent on the goroutine of their caller", name, sent, i)
			}
		}
	}
}

// goroutineID returns how a stack trace names the calling goroutine.
func goroutineID() string {
	stack := make([]byte, 64)
	id, _, _ := strings.Cut(string(stack[:runtime.Stack(stack, false)]), " [")
	return id
}

// A panic of a hook in a renewal reaches nobody, and loses no lease.
func TestPanicOfAHookInARenewalLosesNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 3 * time.Second
		var together, alone atomic.Bool
		panicOnce := func(armed *atomic.Bool) {
			if armed.CompareAndSwap(true, false) {
				panic("in a hook")
			}
		}
		rdb := bubbleClient(t)
		rdb.AddHook(redistest.Hook{
			Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
				panicOnce(&alone)
				return next(ctx, cmd)
			},
			Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
				panicOnce(&together)
				return next(ctx, cmds)
			},
		})
		var all []*mutex.Lease
		for _, key := range []string{"a", "b", "c"} {
			m := mutex.New(rdb, key)
			m.TTL = ttl
			all = append(all, lock(t, m))
		}
		for range 3 {
			together.Store(true)
			alone.Store(true) // of the first renewal that is then sent by itself
			time.Sleep(ttl)
			if together.Load() || alone.Load() {
				t.Error("nothing panicked")
			}
		}
		for _, l := range all {
			unlock(t, l)
		}
	})
}

// After a panic of a hook in the subscription, from which nobody could recover, polls find a hand-over.
func TestPanicOfAHookInTheSubscription(t *testing.T) {
	server := redistest.Start(t)
	var armed atomic.Bool
	rdb := server.Client(t)
	rdb.AddHook(redistest.Hook{Dial: func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error) {
		if armed.CompareAndSwap(true, false) {
			panic("in a hook")
		}
		return next(ctx, network, addr)
	}})
	held, m := lock(t, mutex.New(server.Client(t), "key")), mutex.New(rdb, "key")
	unlock(t, lock(t, mutex.New(rdb, "other"))) // so that there is a connection for commands
	armed.Store(true)
	next := m.LockChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return !armed.Load() && waiting(t, server) == 1 }, "it waits without a subscription")
	unlock(t, held)
	unlock(t, receive(t, next))
}
