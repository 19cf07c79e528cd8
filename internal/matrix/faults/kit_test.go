// Package faults injects faults into real servers, networks and processes. Its tests compare the measured
// times with the bounds of PROTOCOL.md. Only the command internal/matrix runs them.
package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

const (
	// slack is added to each bound for a busy machine.
	slack = 600 * time.Millisecond
	// ample is a TTL longer than any stall of the machine. Use a shorter TTL only if the test waits
	// for its end.
	ample = 10 * time.Second
	// poll is the maximum delay of a hand-over by a lost message.
	poll = lease.MaxPollInterval
	// silence is the read timeout of an impatient client.
	silence = 300 * time.Millisecond
	// linger is how long an idle process stays subscribed.
	linger = 100 * time.Millisecond
)

var (
	must                         = kit.Must
	lock, rlock, lockAll, unlock = kit.Lock, kit.RLock, kit.LockAll, kit.Unlock
	weightedOf, acquire, release = kit.WeightedOf, kit.Acquire, kit.Release
	is, abandoned, claim         = kit.Is, kit.Lost, kit.Claim
)

func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

// check fails the test on an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// impatient is an option for clients whose replies get lost.
func impatient(o *redis.Options) { o.ReadTimeout = silence }

// each runs the cases as parallel subtests.
func each[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	t.Parallel()
	for name, v := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, v)
		})
	}
}

// proxied starts a server, and a proxy in front of it.
func proxied(t *testing.T, args ...string) (*redistest.Server, *redistest.Proxy) {
	t.Helper()
	s := redistest.Start(t, args...)
	return s, redistest.NewProxy(t, s.Addr())
}

func mutexAt(rdb redis.UniversalClient, key string, ttl time.Duration) *mutex.Mutex {
	m := mutex.New(rdb, key)
	m.TTL = ttl
	return m
}

func mutexOf(rdb redis.UniversalClient, ttl time.Duration) *mutex.Mutex {
	return mutexAt(rdb, "key", ttl)
}

func rwOf(rdb redis.UniversalClient, ttl time.Duration) *mutex.RWMutex {
	m := mutex.NewRW(rdb, "key")
	m.TTL = ttl
	return m
}

func groupOf(rdb redis.UniversalClient, ttl time.Duration) *waitgroup.WaitGroup {
	wg := waitgroup.New(rdb, "key")
	wg.TTL = ttl
	return wg
}

// checkBound checks the time since start against the bound.
func checkBound(t *testing.T, desc string, start time.Time, bound time.Duration) {
	t.Helper()
	redistest.CheckDuration(t, desc, start, bound, slack)
}

// receive receives a value within the bound from start.
func receive[V any](t *testing.T, desc string, c <-chan V, start time.Time, bound time.Duration) V {
	t.Helper()
	select {
	case v := <-c:
		checkBound(t, desc, start, bound)
		return v
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", desc, bound)
		panic("unreachable")
	}
}

// expectNone checks that no value arrives within d.
func expectNone[V any](t *testing.T, desc string, c <-chan V, d time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: got %v", desc, v)
	case <-time.After(d):
	}
}

// expectExcluded checks that a waiter does not get the lock within d.
func expectExcluded(t *testing.T, c <-chan mutex.Result, d time.Duration) {
	t.Helper()
	expectNone(t, "while another holds the lock", c, d)
}

// grant receives a lease within the bound from now.
func grant(t *testing.T, desc string, c <-chan mutex.Result, bound time.Duration) *mutex.Lease {
	t.Helper()
	r := receive(t, desc, c, time.Now(), bound)
	check(t, r.Err)
	return r.Lease
}

// use locks and unlocks, also outside of the test's goroutine.
func use(t *testing.T, m *mutex.Mutex) {
	t.Helper()
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	unlock(t, l)
}

func lockWithin(t *testing.T, desc string, m *mutex.Mutex, bound time.Duration) *mutex.Lease {
	t.Helper()
	return grant(t, desc, m.LockChan(t.Context()), bound)
}

// awaitQueue returns when n processes are in the queue of a key. tag is the key, or its hash tag.
func awaitQueue(t *testing.T, s *redistest.Server, tag string, n int64) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool {
		return s.Do(t, "ZCARD", "baton:{"+tag+"}:queue") == n
	}, "the queue of %s has %d entries", tag, n)
}

// enqueue starts to wait for the held key, and returns when Redis has the nth queue entry.
func enqueue(t *testing.T, s *redistest.Server, m interface {
	LockChan(context.Context) <-chan mutex.Result
}, nth int64) <-chan mutex.Result {
	t.Helper()
	c := m.LockChan(t.Context())
	awaitQueue(t, s, "key", nth)
	return c
}

// awaitSubscribers returns when n processes are subscribed.
func awaitSubscribers(t *testing.T, s *redistest.Server, n int) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Subscribers(t, "baton:*") == n }, "%d processes are subscribed", n)
}

// expectKept checks that a hold lasts for d.
func expectKept(t *testing.T, l *mutex.Lease, d time.Duration) {
	t.Helper()
	select {
	case <-l.Done():
		t.Errorf("the hold ended: %v", l.Err())
	case <-time.After(d):
	}
}

// expectFencesGrow checks that the fences of holds grow.
func expectFencesGrow(t *testing.T, holds ...interface{ Fence() int64 }) {
	t.Helper()
	for i, l := range holds[1:] {
		if l.Fence() <= holds[i].Fence() {
			t.Errorf("fence %d after %d", l.Fence(), holds[i].Fence())
		}
	}
}

// expectLoss waits for the end of a hold, which must come within the bound from start. It then checks
// that all methods report the loss. It calls no method of the lease before done is closed, because
// such a call may detect the end by itself.
func expectLoss(t *testing.T, l *mutex.Lease, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	receive(t, "to report the loss", done, start, bound)
	is(t, "Err after the loss", l.Err(), mutex.ErrLost)
	is(t, "Unlock after the loss", l.Unlock(), mutex.ErrLost)
}

// expectFault checks that a fault took place n times, or at least once if n is 0.
func expectFault(t *testing.T, desc string, got, n int64) {
	t.Helper()
	if got == 0 || n > 0 && got != n {
		t.Errorf("%s %d times, want %d", desc, got, n)
	}
}

// owner returns the token of the lock's owner, or nil.
func owner(t *testing.T, s *redistest.Server) any { t.Helper(); return s.Do(t, "GET", "key") }

// expectOwner checks that the owner has not changed.
func expectOwner(t *testing.T, s *redistest.Server, token any) {
	t.Helper()
	if got := owner(t, s); got != token {
		t.Errorf("the owner was %v and is %v", token, got)
	}
}

// expectNothingLeft checks that within the bound Redis has only fences and the state of permits, which
// expire.
func expectNothingLeft(t *testing.T, s *redistest.Server, within time.Duration) {
	t.Helper()
	start := time.Now()
	redistest.AwaitEmpty(t, s.Client(t), within+linger, "}:fence")
	checkBound(t, "to leave nothing in Redis", start, within+linger)
}

// The contenders lock and unlock a key from several processes until end is called. They check mutual
// exclusion, and that fences grow.
type contenders struct {
	t     *testing.T
	end   func()
	holds map[*mutex.Mutex]*atomic.Int64
	lost  atomic.Int64

	mu     sync.Mutex
	inside *mutex.Lease
	fence  int64
}

// contend starts two goroutines for each Mutex. They pause between two holds.
func contend(t *testing.T, pauses map[*mutex.Mutex]time.Duration) *contenders {
	c := &contenders{t: t, holds: map[*mutex.Mutex]*atomic.Int64{}}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for m := range pauses {
		c.holds[m] = new(atomic.Int64)
	}
	for m, pause := range pauses {
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					c.hold(ctx, m, min(pause, time.Millisecond))
					time.Sleep(pause)
				}
			})
		}
	}
	c.end = func() {
		stop()
		wg.Wait()
	}
	t.Cleanup(c.end)
	return c
}

// contendBusily starts contenders without pauses in several processes.
func contendBusily(t *testing.T, clients ...*redis.Client) *contenders {
	pauses := map[*mutex.Mutex]time.Duration{}
	for _, rdb := range clients {
		pauses[mutexOf(rdb, ample)] = 0
	}
	return contend(t, pauses)
}

// hold locks and unlocks once. The hold lasts for at least d.
func (c *contenders) hold(ctx context.Context, m *mutex.Mutex, d time.Duration) {
	l, err := m.LockContext(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.t.Errorf("LockContext: %v", err)
		}
		return
	}
	c.mu.Lock()
	if c.inside != nil && c.inside.Err() == nil && l.Err() == nil {
		c.t.Errorf("two goroutines hold the lock, with fences %d and %d", c.inside.Fence(), l.Fence())
	}
	if l.Fence() <= c.fence {
		c.t.Errorf("fence %d after %d", l.Fence(), c.fence)
	}
	c.inside, c.fence = l, l.Fence()
	c.mu.Unlock()
	c.holds[m].Add(1)
	time.Sleep(d)
	err = l.Err()
	c.mu.Lock()
	if c.inside == l {
		c.inside = nil
	}
	c.mu.Unlock()
	if err = errors.Join(err, l.Unlock()); err != nil {
		c.t.Logf("a hold was lost: %v", err)
		c.lost.Add(1)
	}
}

// more waits for n more holds.
func (c *contenders) more(n int64, bound time.Duration) {
	c.t.Helper()
	total := func() (n int64) {
		for _, holds := range c.holds {
			n += holds.Load()
		}
		return n
	}
	start, before := time.Now(), total()
	redistest.Eventually(c.t, bound+slack, func() bool { return total() >= before+n }, "%d more holds", n)
	checkBound(c.t, fmt.Sprintf("%d more holds", n), start, bound)
}

// expectNoLoss stops the contenders, and checks that no hold was lost.
func (c *contenders) expectNoLoss() {
	c.t.Helper()
	c.end()
	redistest.CheckCount(c.t, "the lost holds", c.lost.Load(), 0)
}
