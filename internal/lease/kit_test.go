package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// mutexKey and permitsKey are the keys of most tests.
var mutexKey, permitsKey = Name{Kind: Mutex, Key: "key"}, Name{Kind: Semaphore, Key: "key"}

// env is one fake Redis with its client processes, in a bubble.
type env struct {
	*testing.T
	redis  *fakeRedis
	leases []*Lease
}

func inBubble(t *testing.T, f func(e *env)) {
	synctest.Test(t, func(t *testing.T) {
		e := &env{T: t, redis: newFakeRedis()}
		f(e)
		for _, l := range e.leases {
			l.Release()
		}
		time.Sleep(time.Minute) // lingering claims end; the bubble reports goroutines that do not
	})
}

// inBubbles runs f for each row, in a subtest with its own bubble.
func inBubbles[T any](t *testing.T, rows map[string]T, f func(e *env, row T)) {
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { inBubble(t, func(e *env) { f(e, row) }) })
	}
}

// eachKind runs f for each primitive, with parameters of an exclusive hold.
func eachKind(t *testing.T, f func(e *env, p Params)) {
	const ttl = 9 * time.Second
	all := taking(3, 3)
	all.TTL = ttl
	inBubbles(t, map[string]Params{"mutex": params(ttl), "writer": writing(ttl), "permits": all}, f)
}

func (e *env) process() (*Manager, *fakeStore) {
	s := newFakeStore(e.redis)
	return NewManager(s), s
}

func (e *env) twoProcesses() (m1 *Manager, s1 *fakeStore, m2 *Manager, s2 *fakeStore) {
	m1, s1 = e.process()
	m2, s2 = e.process()
	return m1, s1, m2, s2
}

func params(ttl time.Duration) Params {
	return Params{Kind: Mutex, Key: "key", TTL: ttl, Weight: 1}
}

func reading(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: 1, Size: ExclusiveWeight, Shared: true}
}

func writing(ttl time.Duration) Params {
	return Params{Kind: RWMutex, Key: "key", TTL: ttl, Weight: ExclusiveWeight, Size: ExclusiveWeight}
}

func taking(weight, size int64) Params {
	return Params{Kind: Semaphore, Key: "key", TTL: time.Minute, Weight: weight, Size: size}
}

func keysNumbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("key", i))
	}
	return keys
}

// withClaim runs f with the claim that m has on the key, under the mutex of its queue.
func withClaim(m *Manager, kind Kind, f func(c *claim)) {
	q := m.queueFor(Name{Kind: kind, Key: "key"})
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q.claim)
}

func renewNow(m *Manager, kind Kind) {
	withClaim(m, kind, func(c *claim) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.RenewNow(c, time.Now())
	})
}

func (e *env) acquire(m *Manager, p Params) *Lease {
	e.Helper()
	l := new(Lease)
	if err := l.Acquire(e.Context(), m, &p); err != nil {
		e.Fatal(err)
	}
	e.leases = append(e.leases, l)
	return l
}

func (e *env) acquireKeys(m *Manager, p Params, keys ...string) *MultiLease {
	e.Helper()
	l := new(MultiLease)
	if err := l.Acquire(e.Context(), m, p, keys); err != nil {
		e.Fatal(err)
	}
	return l
}

// try tries to acquire p, and returns the error.
func (e *env) try(m *Manager, p Params) error {
	p.Try = true
	l := new(Lease)
	e.leases = append(e.leases, l)
	return l.Acquire(e.Context(), m, &p)
}

// request requests a lease, and returns a channel that receives the result.
func (e *env) request(ctx context.Context, m *Manager, p Params) (*Lease, <-chan error) {
	l, results := new(Lease), result.NewChan(result.ErrorOnly{})
	l.AcquireChan(ctx, m, &p, results)
	e.leases = append(e.leases, l)
	return l, results.C()
}

// contender requests a lease, and releases it immediately. It closes got afterwards.
func (e *env) contender(m *Manager, p Params) (got chan struct{}) {
	got = make(chan struct{})
	go func() {
		defer close(got)
		l := new(Lease)
		e.checkError("a contender", l.Acquire(e.Context(), m, &p))
		l.Release()
	}()
	return got
}

// withKey runs f with a key of Redis.
func (e *env) withKey(name Name, f func(k *fakeKey)) {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	f(e.redis.key(name))
}

// waiters returns the number of waiters in the queue of a Mutex.
func (e *env) waiters(key string) (n int) {
	e.withKey(Name{Kind: Mutex, Key: key}, func(k *fakeKey) { n = len(k.queue) })
	return n
}

// evict removes the permits of token from Redis.
func (e *env) evict(token string) {
	e.withKey(permitsKey, func(k *fakeKey) { delete(k.holds, token) })
}

func (e *env) checkUsed(kind Kind, want int64) {
	e.Helper()
	e.checkUsedAt(Name{Kind: kind, Key: "key"}, want)
}

func (e *env) checkUsedAt(name Name, want int64) {
	e.Helper()
	e.withKey(name, func(k *fakeKey) {
		if k.used() != want {
			e.Errorf("want %d in use: %s", want, k)
		}
	})
}

func equal[V comparable](t testing.TB, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// checkError checks that err matches each error of want. Without want, err must be nil.
func (e *env) checkError(what string, err error, want ...error) {
	e.Helper()
	if len(want) == 0 {
		want = []error{nil}
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			e.Errorf("%s: got error %v, want %v", what, err, w)
		}
	}
}

func (e *env) checkWithin(what string, start time.Time, bound time.Duration) {
	e.Helper()
	if got := time.Since(start); got > bound {
		e.Errorf("%s after %v, want at most %v", what, got, bound)
	}
}

func (e *env) checkWaits(what string, c <-chan error) {
	e.Helper()
	synctest.Wait()
	select {
	case err := <-c:
		e.Errorf("%s does not wait: %v", what, err)
	default:
	}
}

func (e *env) checkGranted(what string, c <-chan error, bound time.Duration) {
	e.Helper()
	start := time.Now()
	select {
	case err := <-c:
		e.checkError(what, err)
	case <-time.After(time.Hour):
		e.Fatalf("%s is not granted", what)
	}
	e.checkWithin(what+" is granted", start, bound)
}
