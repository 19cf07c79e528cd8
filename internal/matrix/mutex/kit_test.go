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

// The tests whose names begin with TestFault inject the faults that a mutex must survive, and hold
// what is then seen against the bound that PROTOCOL.md promises.

const (
	slack, ample, poll, silence = kit.Slack, kit.Ample, kit.Poll, kit.Silence

	// linger is for how long a process that rests still listens.
	linger = 100 * time.Millisecond
)

var (
	must, bounded, keeps         = kit.Must, kit.Bounded, kit.Keeps
	lock, rlock, lockAll, unlock = kit.Lock, kit.RLock, kit.LockAll, kit.Unlock

	// workers are what the test binary does when a test starts it as another process, by name.
	workers = map[string]func(){}
)

// TestMain runs the tests only for internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }

func together[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	kit.Together(t, cases, run)
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

// got is a lease that was to be had.
func got(l *mutex.Lease, err error) func(*testing.T) *mutex.Lease {
	return func(t *testing.T) *mutex.Lease {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// receive takes a result that must be a lease, within the bound from now.
func receive(t *testing.T, what string, c <-chan mutex.Result, bound time.Duration) *mutex.Lease {
	t.Helper()
	r := kit.Receive(t, what, c, time.Now(), bound)
	return got(r.Lease, r.Err)(t)
}

func lockWithin(t *testing.T, what string, m *mutex.Mutex, bound time.Duration) *mutex.Lease {
	t.Helper()
	return receive(t, what, m.LockChan(t.Context()), bound)
}

// refuses checks that each way to lock fails at once, names the key, and says one of whys.
func refuses(t *testing.T, what string, m *mutex.Mutex, whys ...string) {
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
		said := slices.ContainsFunc(whys, func(why string) bool { return strings.Contains(text, why) })
		if !said || !strings.Contains(text, `"key"`) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, mutex.ErrLocked) {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	bounded(t, "to refuse five times", start, 0)
}

// warm has the server know the scripts that acquire, release and renew.
func warm(t *testing.T, s *redistest.Server) {
	t.Helper()
	l := lock(t, mutexOf(s.Client(t), time.Second))
	keeps(t, l, 400*time.Millisecond)
	unlock(t, l)
}

// queued has somebody wait for a key that is held, and returns when Redis has it as the nth in the queue.
func queued(t *testing.T, s *redistest.Server, m interface {
	LockChan(context.Context) <-chan mutex.Result
}, nth int64) <-chan mutex.Result {
	t.Helper()
	c := m.LockChan(t.Context())
	awaitQueue(t, s, nth)
	return c
}

func awaitQueue(t *testing.T, s *redistest.Server, length int64) {
	t.Helper()
	kit.Queued(t, s, "key", length)
}

// loses checks that a hold ends in time: see kit.Loses.
func loses(t *testing.T, l *mutex.Lease, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	kit.Loses(t, l, l.Unlock, done, start, bound)
}

// excludes checks that what awaits the lock does not get it for so long.
func excludes(t *testing.T, c <-chan mutex.Result, d time.Duration) {
	t.Helper()
	kit.Silent(t, "while another holds the lock", c, d)
}

// owner is the token of the lock's owner, nil if there is none.
func owner(t *testing.T, s *redistest.Server) any { t.Helper(); return s.Do(t, "GET", "key") }

// rests checks that within the bound nothing is left in Redis but fences, and the state of permits,
// which expire.
func rests(t *testing.T, s *redistest.Server, within time.Duration) {
	t.Helper()
	start := time.Now()
	kit.Rests(t, within, func() string {
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
	bounded(t, "to leave nothing in Redis", start, within+linger)
}

// A crowd locks and unlocks the key from several processes until it is sent away. Meanwhile it sees
// whether two are inside, and whether fences grow.
type crowd struct {
	t    *testing.T
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu          sync.Mutex
	inside      *mutex.Lease
	fence       int64
	holds, lost int
}

// gather sends two goroutines for each client.
func gather(t *testing.T, ttl time.Duration, clients ...*redis.Client) *crowd {
	c := &crowd{t: t}
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
	t.Cleanup(c.leave)
	return c
}

func (c *crowd) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *crowd) hold(m *mutex.Mutex) {
	l, err := m.LockContext(c.ctx)
	if err != nil {
		if c.ctx.Err() == nil {
			c.t.Errorf("LockContext: %v", err)
		}
		return
	}
	c.with(func() {
		if c.inside != nil && c.inside.Err() == nil && l.Err() == nil {
			c.t.Errorf("two are inside, with the fences %d and %d", c.inside.Fence(), l.Fence())
		}
		if l.Fence() <= c.fence {
			c.t.Errorf("fence %d after %d", l.Fence(), c.fence)
		}
		c.inside, c.fence = l, l.Fence()
		c.holds++
	})
	err = l.Err()
	c.with(func() {
		if c.inside == l {
			c.inside = nil
		}
	})
	switch again := l.Unlock(); {
	case errors.Is(err, mutex.ErrLost), errors.Is(again, mutex.ErrLost):
		c.with(func() { c.lost++ })
	case again != nil:
		c.t.Errorf("Unlock: %v", again)
	}
}

// more waits for n more holds.
func (c *crowd) more(n int, bound time.Duration) {
	c.t.Helper()
	count := func() (holds int) { c.with(func() { holds = c.holds }); return holds }
	start, before := time.Now(), count()
	redistest.Eventually(c.t, bound+slack, func() bool { return count() >= before+n }, "%d more holds", n)
	bounded(c.t, fmt.Sprintf("%d more holds", n), start, bound)
}

// leave sends the crowd away.
func (c *crowd) leave() {
	c.stop()
	c.wg.Wait()
}
