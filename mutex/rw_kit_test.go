package mutex_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func rwOf(rdb redis.UniversalClient, ttl time.Duration) *mutex.RWMutex {
	m := mutex.NewRW(rdb, "key")
	m.TTL = ttl
	return m
}

func wlock(t *testing.T, m *mutex.RWMutex) *mutex.Lease {
	t.Helper()
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func rlock(t *testing.T, m *mutex.RWMutex) *mutex.Lease {
	t.Helper()
	l, err := m.RLockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// bubbleFleet returns n reader/writer locks in a bubble, on clients of their own:
// to the library, those are n processes.
func bubbleFleet(t *testing.T, n int) []*mutex.RWMutex {
	t.Helper()
	rdb := bubbleClient(t)
	fleet := []*mutex.RWMutex{mutex.NewRW(rdb, "key")}
	for len(fleet) < n {
		fleet = append(fleet, mutex.NewRW(bubbleSibling(t, rdb), "key"))
	}
	return fleet
}

// granted takes a result that is to be there by now, in a bubble.
func granted(t *testing.T, what string, c <-chan mutex.Result) *mutex.Lease {
	t.Helper()
	select {
	case r := <-c:
		if r.Err != nil {
			t.Fatalf("%s: %v", what, r.Err)
		}
		return r.Lease
	default:
		t.Fatalf("%s: not granted", what)
		return nil
	}
}

// rwQueued begins to wait, and returns when Redis has the process as the nth in
// the line of "key".
func rwQueued(t *testing.T, s *redistest.Server, lock func(context.Context) <-chan mutex.Result, nth int64) <-chan mutex.Result {
	t.Helper()
	c := lock(t.Context())
	awaitRWQueue(t, s, nth)
	return c
}

func awaitRWQueue(t *testing.T, s *redistest.Server, length int64) {
	t.Helper()
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Do(t, "ZCARD", "baton:{key}:queue") == length }, "%d are in the line", length)
}

// rwRests checks that within the bound nobody holds or awaits anything in Redis:
// of a key there is no more than its state.
func rwRests(t *testing.T, s *redistest.Server, within time.Duration) {
	t.Helper()
	left := func() string {
		var list []string
		for _, key := range s.Keys(t) {
			if strings.HasPrefix(key, "baton:{") || s.Do(t, "TYPE", key) != "hash" || s.Do(t, "HLEN", key) != int64(1) {
				list = append(list, key)
			}
		}
		if s.Subscribers(t, "baton:*") > 0 {
			list = append(list, "subscriptions")
		}
		return strings.Join(list, ", ")
	}
	redistest.Eventually(t, within+slack, func() bool { return left() == "" }, "nothing is left in Redis, but there was %v", lazy(left))
}

// holdersOf is how many processes hold "key".
func holdersOf(t *testing.T, s *redistest.Server) int64 {
	t.Helper()
	return s.Do(t, "HLEN", "key").(int64) - 1
}

// A gate is a hook that cuts its client off from Redis while it is shut.
type gate struct{ shut atomic.Bool }

var errShut = errors.New("the gate is shut")

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if g.shut.Load() {
			cmd.SetErr(errShut)
			return errShut
		}
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !g.shut.Load() {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errShut)
		}
		return errShut
	}
}
