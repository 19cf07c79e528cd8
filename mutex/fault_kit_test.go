package mutex_test

import (
	"fmt"
	"strings"
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
	ample = redistest.Patience
	// linger is for how long a process that rests still listens.
	linger = 100 * time.Millisecond
	// poll is how long a lost message delays a hand-over at most.
	poll = lease.MaxPollInterval
)

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
