package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The tests whose names begin with TestFault inject faults, and compare the measured times with the
// bounds of PROTOCOL.md.

const (
	slack, ample, poll, silence = kit.Slack, kit.Ample, kit.Poll, kit.Silence

	// linger is how long an idle process stays subscribed.
	linger = 100 * time.Millisecond
)

var (
	must, checkBound, expectKept = kit.Must, kit.CheckBound, kit.ExpectKept
	lock, rlock, lockAll, unlock = kit.Lock, kit.RLock, kit.LockAll, kit.Unlock

	// workers has the programs of worker processes, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for the command internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

func runTogether[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	kit.RunTogether(t, cases, run)
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

// got returns a function that returns the lease, or fails the test.
func got(l *mutex.Lease, err error) func(*testing.T) *mutex.Lease {
	return func(t *testing.T) *mutex.Lease {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// receive receives a lease within the bound from now.
func receive(t *testing.T, desc string, c <-chan mutex.Result, bound time.Duration) *mutex.Lease {
	t.Helper()
	r := kit.Receive(t, desc, c, time.Now(), bound)
	return got(r.Lease, r.Err)(t)
}

func lockWithin(t *testing.T, desc string, m *mutex.Mutex, bound time.Duration) *mutex.Lease {
	t.Helper()
	return receive(t, desc, m.LockChan(t.Context()), bound)
}

// expectRefused checks that each way to lock fails at once, with the key and one of the reasons.
func expectRefused(t *testing.T, desc string, m *mutex.Mutex, reasons ...string) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), redistest.Patience)
	defer cancel()
	ways := []func() error{
		func() error { _, err := m.LockContext(ctx); return err },
		func() error { _, err := m.TryLockContext(ctx); return err },
		func() error { return (<-m.LockChan(ctx)).Err },
		func() error { m.Lock(); return nil },
		func() error { m.TryLock(); return nil },
	}
	for _, way := range ways {
		err := redistest.Outcome(way)
		text := fmt.Sprint(err)
		found := slices.ContainsFunc(reasons, func(reason string) bool { return strings.Contains(text, reason) })
		if !found || !strings.Contains(text, `"key"`) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("%s: the error is %v", desc, err)
		}
	}
	checkBound(t, "five refused calls", start, 0)
}

// warm loads the scripts that acquire, release and renew.
func warm(t *testing.T, s *redistest.Server) {
	t.Helper()
	l := lock(t, mutexOf(s.Client(t), time.Second))
	expectKept(t, l, 400*time.Millisecond)
	unlock(t, l)
}

// enqueue starts to wait for a held key, and returns when Redis has the nth queue entry.
func enqueue(t *testing.T, s *redistest.Server, m interface {
	LockChan(context.Context) <-chan mutex.Result
}, nth int64) <-chan mutex.Result {
	t.Helper()
	c := m.LockChan(t.Context())
	awaitQueue(t, s, nth)
	return c
}

func awaitQueue(t *testing.T, s *redistest.Server, length int64) {
	t.Helper()
	kit.AwaitKeyQueue(t, s, "key", length)
}

// expectLoss checks that a hold ends in time: see kit.ExpectLoss.
func expectLoss(t *testing.T, l *mutex.Lease, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	kit.ExpectLoss(t, l, l.Unlock, done, start, bound)
}

// expectExcluded checks that the waiter does not get the lock within d.
func expectExcluded(t *testing.T, c <-chan mutex.Result, d time.Duration) {
	t.Helper()
	kit.ExpectNone(t, "while another holds the lock", c, d)
}

// owner returns the token of the lock's owner, or nil.
func owner(t *testing.T, s *redistest.Server) any { t.Helper(); return s.Do(t, "GET", "key") }

// expectNothingLeft checks that within the bound Redis has only fences and the state of permits, which
// expire.
func expectNothingLeft(t *testing.T, s *redistest.Server, within time.Duration) {
	t.Helper()
	start := time.Now()
	kit.ExpectNothingLeft(t, within, func() string {
		var list []string
		for _, key := range s.Keys(t) {
			fence := strings.HasPrefix(key, "baton:{") && strings.Contains(key, "}:fence")
			if !fence && (s.Do(t, "TYPE", key) != "hash" || s.Do(t, "HLEN", key) != int64(1)) {
				list = append(list, key)
			}
		}
		if n := s.Subscribers(t, "baton:*"); n > 0 {
			list = append(list, fmt.Sprintf("%d subscriptions", n))
		}
		return strings.Join(list, ", ")
	})
	checkBound(t, "to leave nothing in Redis", start, within+linger)
}

// The contenders lock and unlock the key from several processes until end is called. They check mutual
// exclusion, and that fences grow.
type contenders struct {
	t    *testing.T
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu          sync.Mutex
	inside      *mutex.Lease
	fence       int64
	holds, lost int
}

// contend starts two goroutines for each client.
func contend(t *testing.T, ttl time.Duration, clients ...*redis.Client) *contenders {
	c := &contenders{t: t}
	c.ctx, c.stop = context.WithCancel(t.Context())
	for _, rdb := range clients {
		m := mutexOf(rdb, ttl)
		for range 2 {
			c.wg.Go(func() {
				for c.ctx.Err() == nil {
					c.hold(m)
				}
			})
		}
	}
	t.Cleanup(c.end)
	return c
}

func (c *contenders) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *contenders) hold(m *mutex.Mutex) {
	l, err := m.LockContext(c.ctx)
	if err != nil {
		if c.ctx.Err() == nil {
			c.t.Errorf("LockContext: %v", err)
		}
		return
	}
	c.locked(func() {
		if c.inside != nil && c.inside.Err() == nil && l.Err() == nil {
			c.t.Errorf("two goroutines hold the lock, with fences %d and %d", c.inside.Fence(), l.Fence())
		}
		if l.Fence() <= c.fence {
			c.t.Errorf("fence %d after %d", l.Fence(), c.fence)
		}
		c.inside, c.fence = l, l.Fence()
		c.holds++
	})
	err = l.Err()
	c.locked(func() {
		if c.inside == l {
			c.inside = nil
		}
	})
	switch again := l.Unlock(); {
	case errors.Is(err, mutex.ErrLost), errors.Is(again, mutex.ErrLost):
		c.locked(func() { c.lost++ })
	case again != nil:
		c.t.Errorf("Unlock: %v", again)
	}
}

// more waits for n more holds.
func (c *contenders) more(n int, bound time.Duration) {
	c.t.Helper()
	count := func() (holds int) { c.locked(func() { holds = c.holds }); return holds }
	start, before := time.Now(), count()
	redistest.Eventually(c.t, bound+slack, func() bool { return count() >= before+n }, "%d more holds", n)
	checkBound(c.t, fmt.Sprintf("%d more holds", n), start, bound)
}

// end stops the contenders.
func (c *contenders) end() {
	c.stop()
	c.wg.Wait()
}
