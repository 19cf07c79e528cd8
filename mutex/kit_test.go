package mutex_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const (
	// ample is a TTL longer than any stall of the machine.
	ample = redistest.Patience
	// poll is the longest delay of a hand-over after a lost message.
	poll = lease.MaxPollInterval
)

var (
	must, sibling, bubbleClient  = kit.Must, redistest.Sibling, redistest.BubbleClient
	lock, rlock, lockAll, unlock = kit.Lock, kit.RLock, kit.LockAll, kit.Unlock
)

// options are the fields that all kinds of locks have.
type options struct {
	ttl, maxHold, linger time.Duration
	notify               bool
	label                string
	trace                *mutex.Trace
}

// A locker has the methods of a Mutex.
type locker struct {
	lock, unlock                func()
	tryLock                     func() bool
	lockContext, tryLockContext func(context.Context) (*mutex.Lease, error)
	lockChan                    func(context.Context) <-chan mutex.Result
	do                          func(context.Context, func(context.Context) error) error // nil for a Pool
	inspect                     func(context.Context) (mutex.Status, error)
}

// A kind of lock makes lockers.
type kind struct {
	name    string
	of      func(rdb redis.UniversalClient, key string, o options) locker
	twoKeys bool // it locks second+key and key
}

const second = "second "

var kinds = []kind{
	{name: "Mutex", of: func(rdb redis.UniversalClient, key string, o options) locker {
		m := mutex.New(rdb, key)
		m.TTL, m.MaxHold, m.Linger, m.NotifyContention, m.Label, m.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.label, o.trace
		return locker{m.Lock, m.Unlock, m.TryLock, m.LockContext, m.TryLockContext, m.LockChan, m.Do, m.Inspect}
	}},
	{name: "RWMutex", of: func(rdb redis.UniversalClient, key string, o options) locker {
		m := rwOf(rdb, key, o)
		return locker{m.Lock, m.Unlock, m.TryLock, m.LockContext, m.TryLockContext, m.LockChan, m.Do, m.Inspect}
	}},
	{name: "reader", of: func(rdb redis.UniversalClient, key string, o options) locker {
		m := rwOf(rdb, key, o)
		return locker{m.RLock, m.RUnlock, m.TryRLock, m.RLockContext, m.TryRLockContext, m.RLockChan, m.RDo, m.Inspect}
	}},
	{name: "Pool", of: func(rdb redis.UniversalClient, key string, o options) locker { return poolOf(rdb, o, key) }},
	{name: "keys", twoKeys: true, of: func(rdb redis.UniversalClient, key string, o options) locker {
		return poolOf(rdb, o, second+key, key, second+key)
	}},
}

// rival returns the kind of lock that excludes k.
func (k kind) rival() kind {
	if k.name == "reader" {
		return kinds[1]
	}
	return k
}

func mutexOf(rdb redis.UniversalClient, key string) *mutex.Mutex {
	m := mutex.New(rdb, key)
	m.TTL = ample
	return m
}

func rwOf(rdb redis.UniversalClient, key string, o options) *mutex.RWMutex {
	m := mutex.NewRW(rdb, key)
	m.TTL, m.MaxHold, m.Linger, m.NotifyContention, m.Label, m.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.label, o.trace
	return m
}

func poolOf(rdb redis.UniversalClient, o options, keys ...string) locker {
	p := mutex.NewPool(rdb, "")
	p.TTL, p.MaxHold, p.Linger, p.NotifyContention, p.Label, p.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.label, o.trace
	keys = slices.Clip(keys)
	order := slices.Compact(slices.Sorted(slices.Values(keys)))
	return locker{
		lock: func() {
			for _, key := range order {
				p.Lock(key)
			}
		},
		unlock: func() {
			for _, key := range slices.Backward(order) {
				p.Unlock(key)
			}
		},
		tryLock: func() bool {
			for i, key := range order {
				if !p.TryLock(key) {
					for _, key := range order[:i] {
						p.Unlock(key)
					}
					return false
				}
			}
			return true
		},
		lockContext:    func(ctx context.Context) (*mutex.Lease, error) { return p.LockContext(ctx, keys...) },
		tryLockContext: func(ctx context.Context) (*mutex.Lease, error) { return p.TryLockContext(ctx, keys...) },
		lockChan:       func(ctx context.Context) <-chan mutex.Result { return p.LockChan(ctx, keys...) },
		inspect: func(ctx context.Context) (s mutex.Status, err error) { // of the key with waiters, if any
			for _, key := range keys {
				if s, err = p.Inspect(ctx, key); err != nil || s.Waiters > 0 {
					break
				}
			}
			return s, err
		},
	}
}

var longTTL, standard = options{ttl: ample}, options{ttl: mutex.DefaultTTL}

// eachOnServers runs f for each kind as a subtest, on each server.
func eachOnServers(t *testing.T, f func(t *testing.T, rdb *redis.Client, k kind)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				must(rdb.FlushAll(t.Context()).Err())
				f(t, sibling(t, rdb), k)
			})
		}
	})
}

// eachInBubble runs f for each kind as a subtest, in its own bubble.
func eachInBubble(t *testing.T, f func(t *testing.T, rdb *redis.Client, k kind)) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, bubbleClient(t), k) })
		})
	}
}

// bubblePair runs f in a bubble with two of a type, of two processes, and their clients.
func bubblePair[P any](t *testing.T, of func(rdb redis.UniversalClient) P, f func(t *testing.T, rdb, other *redis.Client, a, b P)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		other := sibling(t, rdb)
		f(t, rdb, other, of(rdb), of(other))
	})
}

// replyLate delays the reply to the first script that matches until its grant has expired. Meanwhile,
// the client has no connection.
func replyLate(rdb *redis.Client, matches func(cmd redis.Cmder) bool) {
	away := redistest.NewOutage(rdb)
	var done atomic.Bool
	rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		err := next(ctx, cmd)
		if err == nil && matches(cmd) && done.CompareAndSwap(false, true) {
			away.Set(true)
			time.Sleep(mutex.DefaultTTL + time.Second)
			away.Set(false)
		}
		return err
	}))
}

func (l locker) hold(t *testing.T) *mutex.Lease {
	t.Helper()
	h, err := l.lockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ways returns a function for each method that locks l. The function locks and returns how to unlock.
func (l locker) ways(t *testing.T) map[string]func() (unlock func()) {
	leased := func(lock func(context.Context) (*mutex.Lease, error)) func() func() {
		return func() func() {
			h, err := lock(t.Context())
			must(err)
			return func() { unlock(t, h) }
		}
	}
	return map[string]func() func(){
		"Lock": func() func() { l.lock(); return l.unlock },
		"TryLock": func() func() {
			if !l.tryLock() {
				panic("not locked")
			}
			return l.unlock
		},
		"LockContext":    leased(l.lockContext),
		"TryLockContext": leased(l.tryLockContext),
		"LockChan":       leased(func(ctx context.Context) (*mutex.Lease, error) { r := <-l.lockChan(ctx); return r.Lease, r.Err }),
	}
}

// receive waits for a grant.
func receive(t *testing.T, c <-chan mutex.Result) *mutex.Lease {
	t.Helper()
	select {
	case r := <-c:
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return r.Lease
	case <-time.After(redistest.Patience):
		t.Fatal("not granted")
		return nil
	}
}

// granted receives a lease after 10 ms, in a bubble.
func granted(t *testing.T, c <-chan mutex.Result) *mutex.Lease {
	t.Helper()
	time.Sleep(10 * time.Millisecond)
	if len(c) == 0 {
		t.Fatal("not granted")
	}
	return receive(t, c)
}

// notGranted checks that no channel has a result yet.
func notGranted(t *testing.T, all ...<-chan mutex.Result) {
	t.Helper()
	for _, c := range all {
		select {
		case r := <-c:
			t.Fatalf("got %v, %v while another process holds the lock", r.Lease, r.Err)
		default:
		}
	}
}

// awaitWaiters returns when n processes wait for a held lock.
func awaitWaiters(t *testing.T, inspect func(context.Context) (mutex.Status, error), n int) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool {
		s, err := inspect(t.Context())
		return err == nil && s.Held() && s.Waiters == n
	}, "%d processes wait", n)
}

// owner returns the token of the owner of "key", or nil.
func owner(t *testing.T, s *redistest.Server) any {
	t.Helper()
	return s.Do(t, "GET", "key")
}

// heldKeys concatenates the keys that exist.
func heldKeys(t *testing.T, rdb *redis.Client, keys ...string) (list string) {
	t.Helper()
	for _, key := range keys {
		if rdb.Exists(t.Context(), key).Val() == 1 {
			list += key
		}
	}
	return list
}

// awaitEmpty waits until only fences are left, and states without holders.
func awaitEmpty(t *testing.T, rdb *redis.Client) {
	t.Helper()
	redistest.AwaitEmpty(t, rdb, ample, "}:fence")
}

// panicOf returns the value of f's panic, or nil.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	if got := fmt.Sprint(panicOf(f)); !strings.Contains(got, want) {
		t.Errorf("panic %q, want one with %q", got, want)
	}
}
