package mutex_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const (
	// ample is a TTL that a stall of the machine does not use up.
	ample = redistest.Patience
	// poll is how long a lost message delays a hand-over at most.
	poll = lease.MaxPollInterval
)

// miniClient returns a client of a miniredis in real time.
func miniClient(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// bubbleClient returns a client of a miniredis in the time of a synctest bubble.
func bubbleClient(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	// The subscription lingers a moment after its last use, and in a bubble time
	// stands still once the test has returned.
	t.Cleanup(func() { time.Sleep(time.Second) })
	return rdb
}

// sibling returns another client of the same server, which may be in a bubble: to the library,
// that is another process.
func sibling(t *testing.T, rdb *redis.Client, opts ...func(*redis.Options)) *redis.Client {
	t.Helper()
	o := *rdb.Options()
	if o.ReadTimeout == 0 { // of a client that is patient
		opts = append(opts, redistest.Patient)
	}
	for _, opt := range opts {
		opt(&o)
	}
	another := redis.NewClient(&o)
	t.Cleanup(func() { another.Close() })
	return another
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

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

func lock(t *testing.T, m interface {
	LockContext(context.Context) (*mutex.Lease, error)
}) *mutex.Lease {
	t.Helper()
	return locker{lockContext: m.LockContext}.hold(t)
}

func lockAll(t *testing.T, p *mutex.Pool, keys ...string) *mutex.Lease {
	t.Helper()
	l, err := p.LockContext(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unlock(t *testing.T, l *mutex.Lease) {
	t.Helper()
	if err := l.Unlock(); err != nil {
		t.Errorf("Unlock: %v", err)
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

// A commandHook runs before each command, also of a pipeline.
type commandHook func(ctx context.Context, cmd redis.Cmder)

func (h commandHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h commandHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (h commandHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h(ctx, cmd)
		}
		return next(ctx, cmds)
	}
}

// A scriptHook runs in place of each script that is alone in its request.
type scriptHook func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error

func (h scriptHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h scriptHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isScript(cmd) {
			return h(next, ctx, cmd)
		}
		return next(ctx, cmd)
	}
}

func (h scriptHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func isScript(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" || cmd.Name() == "eval" }
