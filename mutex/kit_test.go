package mutex_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	// ample is a TTL that a stall of the machine does not use up.
	ample = redistest.Patience
	// poll is how long a lost message delays a hand-over at most.
	poll = lease.MaxPollInterval
)

var (
	must, sibling, bubbleClient  = kit.Must, redistest.Sibling, redistest.BubbleClient
	lock, rlock, lockAll, unlock = kit.Lock, kit.RLock, kit.LockAll, kit.Unlock
)

// options are the fields of all types.
type options struct {
	ttl, maxHold, linger time.Duration
	notify               bool
	replicas             int
	label                string
	trace                *mutex.Trace
}

// A locker is a Mutex, or what is like one.
type locker struct {
	lock, unlock                func()
	tryLock                     func() bool
	lockContext, tryLockContext func(context.Context) (*mutex.Lease, error)
	lockChan                    func(context.Context) <-chan mutex.Result
	do                          func(context.Context, func(context.Context) error) error // nil for a Pool
	inspect                     func(context.Context) (mutex.Status, error)
}

// A kind of lock, each with methods of its own.
type kind struct {
	name string
	of   func(rdb redis.UniversalClient, key string, o options) locker
	more bool // whether it holds more+key besides key
}

const more = "more of "

var kinds = []kind{
	{name: "Mutex", of: func(rdb redis.UniversalClient, key string, o options) locker {
		m := mutex.New(rdb, key)
		m.TTL, m.MaxHold, m.Linger, m.NotifyContention, m.Replicas, m.Label, m.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.replicas, o.label, o.trace
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
	{name: "keys", more: true, of: func(rdb redis.UniversalClient, key string, o options) locker {
		return poolOf(rdb, o, more+key, key, more+key)
	}},
}

// rival is the kind that excludes k.
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
	m.TTL, m.MaxHold, m.Linger, m.NotifyContention, m.Replicas, m.Label, m.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.replicas, o.label, o.trace
	return m
}

func poolOf(rdb redis.UniversalClient, o options, keys ...string) locker {
	p := mutex.NewPool(rdb, "")
	p.TTL, p.MaxHold, p.Linger, p.NotifyContention, p.Replicas, p.Label, p.Trace = o.ttl, o.maxHold, o.linger, o.notify, o.replicas, o.label, o.trace
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
		inspect: func(ctx context.Context) (s mutex.Status, err error) { // of the key that is awaited
			for _, key := range keys {
				if s, err = p.Inspect(ctx, key); err != nil || s.Waiters > 0 {
					break
				}
			}
			return s, err
		},
	}
}

// forever is options with a TTL that nothing uses up, and standard those with the TTL that New gives.
var forever, standard = options{ttl: ample}, options{ttl: mutex.DefaultTTL}

// eachOnServers runs f for each kind as a subtest, on each server. Its clients wait for late replies: a copy of
// a request that arrives after Unlock may lock for a TTL.
func eachOnServers(t *testing.T, f func(t *testing.T, rdb *redis.Client, k kind)) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				must(rdb.FlushAll(t.Context()).Err())
				f(t, sibling(t, rdb, redistest.Patient), k)
			})
		}
	})
}

// eachInBubble runs f for each kind as a subtest, in a bubble of its own.
func eachInBubble(t *testing.T, f func(t *testing.T, rdb *redis.Client, k kind)) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, bubbleClient(t), k) })
		})
	}
}

func (l locker) hold(t *testing.T) *mutex.Lease {
	t.Helper()
	h, err := l.lockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ways returns the ways to get l, by method. Each returns what unlocks it then.
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

// receive waits for a lease.
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

// granted takes a lease that is there by now, in a bubble.
func granted(t *testing.T, c <-chan mutex.Result) *mutex.Lease {
	t.Helper()
	time.Sleep(10 * time.Millisecond)
	if len(c) == 0 {
		t.Fatal("not granted")
	}
	return receive(t, c)
}

// waits checks that nothing is granted by now.
func waits(t *testing.T, all ...<-chan mutex.Result) {
	t.Helper()
	for _, c := range all {
		select {
		case r := <-c:
			t.Fatalf("got %v, %v while another holds the lock", r.Lease, r.Err)
		default:
		}
	}
}

// waiting is how many processes wait for "key".
func waiting(t *testing.T, s *redistest.Server) int64 {
	t.Helper()
	return s.Do(t, "ZCARD", "baton:{key}:queue").(int64)
}

// queued waits until n processes wait for the key of l.
func queued(t *testing.T, l locker, n int) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool {
		s, err := l.inspect(t.Context())
		return err == nil && s.Waiters == n
	}, "%d processes wait", n)
}

// owner is the token of the lock's owner, nil if there is none.
func owner(t *testing.T, s *redistest.Server) any {
	t.Helper()
	return s.Do(t, "GET", "key")
}

// held is which of the keys exist.
func held(t *testing.T, rdb *redis.Client, keys ...string) (list string) {
	t.Helper()
	for _, key := range keys {
		if rdb.Exists(t.Context(), key).Val() == 1 {
			list += key
		}
	}
	return list
}

// rests waits until nothing is left in Redis but fences, and states without holders: both expire. Who is
// not patient may have locked for a TTL more.
func rests(t *testing.T, rdb *redis.Client) {
	t.Helper()
	ctx := context.Background()
	redistest.Eventually(t, ample+redistest.Patience, func() bool {
		for _, key := range rdb.Keys(ctx, "*").Val() {
			fence := strings.HasPrefix(key, "baton:{") && strings.Contains(key, "}:fence")
			if !fence && rdb.HLen(ctx, key).Val() != 1 || rdb.PTTL(ctx, key).Val() <= 0 {
				return false
			}
		}
		return len(rdb.PubSubChannels(ctx, "baton:*").Val()) == 0
	}, "something stays in Redis")
}

func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
			t.Errorf("panic %q, want one about %q", got, want)
		}
	}()
	f()
}
