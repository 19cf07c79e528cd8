package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The tests whose names begin with TestFault inject the faults that a mutex must
// survive, and hold what is then seen against the bound that PROTOCOL.md
// promises. To the library, each client is a process of its own.

const (
	// slack is what a busy machine may add to a bound.
	slack = 600 * time.Millisecond
	// ample is a TTL that a stall of the machine does not use up. Only those that a
	// test waits for are shorter.
	ample = 10 * time.Second
	// linger is for how long a process that rests still listens.
	linger = 100 * time.Millisecond
	// poll is how long a lost message delays a hand-over at most.
	poll = lease.MaxPollInterval
)

// together runs subtests at the same time. They mostly wait, so that the number
// of processors, which bounds parallel tests, says nothing of how many can.
func together[V any](t *testing.T, cases map[string]V, run func(*testing.T, V)) {
	var wg sync.WaitGroup
	for name, v := range cases {
		wg.Go(func() { t.Run(name, func(t *testing.T) { run(t, v) }) })
	}
	wg.Wait()
}

func mutexOf(rdb redis.UniversalClient, ttl time.Duration) *mutex.Mutex {
	m := mutex.New(rdb, "key")
	m.TTL = ttl
	return m
}

// bounded checks how long it took since start.
func bounded(t *testing.T, what string, start time.Time, bound time.Duration) {
	t.Helper()
	redistest.CheckDuration(t, what, start, bound, slack)
}

// receive takes a result that is to be a lease, within the bound from now.
func receive(t *testing.T, what string, c <-chan mutex.Result, bound time.Duration) *mutex.Lease {
	t.Helper()
	start := time.Now()
	select {
	case r := <-c:
		if r.Err != nil {
			t.Fatalf("%s: %v", what, r.Err)
		}
		bounded(t, what, start, bound)
		return r.Lease
	case <-time.After(redistest.Patience):
		t.Fatalf("%s did not end, the bound is %v", what, bound)
		return nil
	}
}

func lockWithin(t *testing.T, what string, m *mutex.Mutex, bound time.Duration) *mutex.Lease {
	t.Helper()
	return receive(t, what, m.LockChan(t.Context()), bound)
}

// warm has the server know the scripts that acquire, release and renew.
func warm(t *testing.T, s *redistest.Server) {
	t.Helper()
	l := lock(t, mutexOf(s.Client(t), time.Second))
	keeps(t, l, 400*time.Millisecond)
	unlock(t, l)
}

// queued has m wait for a key that is held, and returns when Redis has it as
// the nth in the queue.
func queued(t *testing.T, s *redistest.Server, m *mutex.Mutex, nth int64) <-chan mutex.Result {
	t.Helper()
	c := m.LockChan(t.Context())
	awaitQueue(t, s, nth)
	return c
}

func awaitQueue(t *testing.T, s *redistest.Server, length int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{key}:queue") == length }, "%d are in the queue", length)
}

// loses waits for the end of a hold that is not to last longer than the bound
// from start, and checks all that then says so. It does not call a method of the
// lease before: that may notice the end by itself.
func loses(t *testing.T, l *mutex.Lease, done <-chan struct{}, start time.Time, bound time.Duration) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(redistest.Patience):
		t.Fatalf("the loss was not told, the bound is %v", bound)
	}
	bounded(t, "to be told of the loss", start, bound)
	if err := l.Err(); !errors.Is(err, mutex.ErrLost) {
		t.Errorf("Err after the loss is %v", err)
	}
	if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
		t.Errorf("Unlock after the loss returned %v", err)
	}
}

// keeps checks that a hold lasts for so long.
func keeps(t *testing.T, l *mutex.Lease, d time.Duration) {
	t.Helper()
	select {
	case <-l.Done():
		t.Errorf("the hold ended: %v", l.Err())
	case <-time.After(d):
	}
}

// excludes checks that what awaits the lock does not get it for so long.
func excludes(t *testing.T, c <-chan mutex.Result, d time.Duration) {
	t.Helper()
	select {
	case r := <-c:
		t.Errorf("got %v, %v while another holds the lock", r.Lease, r.Err)
	case <-time.After(d):
	}
}

// owner is the token of the lock's owner, nil if there is none.
func owner(t *testing.T, s *redistest.Server) any {
	t.Helper()
	return s.Do(t, "GET", "key")
}

// rests checks that within the bound nothing is left in Redis but fences, which
// expire, and the keys that the test has put there.
func rests(t *testing.T, s *redistest.Server, within time.Duration, but ...string) {
	t.Helper()
	start := time.Now()
	left := func() string {
		var list []string
		for _, key := range s.Keys(t) {
			if fence := strings.HasPrefix(key, "baton:{") && strings.Contains(key, "}:fence"); !fence && !strings.Contains(strings.Join(but, " "), key) {
				list = append(list, key)
			}
		}
		if n := s.Subscribers(t, "baton:*"); n > 0 {
			list = append(list, fmt.Sprintf("%d subscriptions", n))
		}
		return strings.Join(list, ", ")
	}
	redistest.Eventually(t, within+slack, func() bool { return left() == "" }, "nothing is left in Redis, but there was %v", lazy(left))
	bounded(t, "to leave nothing in Redis", start, within+linger)
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (f lazy) String() string { return f() }

// A crowd locks and unlocks the key from several processes until it is sent
// away. Meanwhile it sees whether two are inside, and whether fences grow.
type crowd struct {
	t    *testing.T
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex
	inside *mutex.Lease
	fence  int64
	holds  int
	lost   int
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

func (c *crowd) hold(m *mutex.Mutex) {
	l, err := m.LockContext(c.ctx)
	if err != nil {
		if c.ctx.Err() == nil {
			c.t.Errorf("LockContext: %v", err)
		}
		return
	}
	c.enter(l)
	err = l.Err()
	c.exit(l)
	switch again := l.Unlock(); {
	case errors.Is(err, mutex.ErrLost), errors.Is(again, mutex.ErrLost):
		c.mu.Lock()
		c.lost++
		c.mu.Unlock()
	case again != nil:
		c.t.Errorf("Unlock: %v", again)
	}
}

func (c *crowd) enter(l *mutex.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside != nil && c.inside.Err() == nil && l.Err() == nil {
		c.t.Errorf("two are inside, with the fences %d and %d", c.inside.Fence(), l.Fence())
	}
	if l.Fence() <= c.fence {
		c.t.Errorf("fence %d after %d", l.Fence(), c.fence)
	}
	c.inside, c.fence = l, l.Fence()
	c.holds++
}

func (c *crowd) exit(l *mutex.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside == l {
		c.inside = nil
	}
}

// more waits for n more holds.
func (c *crowd) more(n int, bound time.Duration) {
	c.t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.holds
	}
	start, before := time.Now(), count()
	redistest.Eventually(c.t, bound+slack, func() bool { return count() >= before+n }, "%d more holds", n)
	bounded(c.t, fmt.Sprintf("%d more holds", n), start, bound)
}

// leave sends the crowd away.
func (c *crowd) leave() {
	c.stop()
	c.wg.Wait()
}
