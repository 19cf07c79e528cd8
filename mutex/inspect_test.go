package mutex_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestInspect looks at a lock from another process than those that hold and await it.
func TestInspect(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		pool := mutex.NewPool(anotherClient(t, rdb), "k")
		see := func(waiting int) mutex.Status {
			t.Helper()
			var s mutex.Status
			redistest.Eventually(t, 5*time.Second, func() bool {
				var err error
				if s, err = pool.Inspect(t.Context(), "ey"); err != nil {
					t.Fatal(err)
				}
				return s.Waiters == waiting
			}, "not %d wait", waiting)
			return s
		}
		if s := see(0); s.Held() || s.Next != (mutex.Owner{}) {
			t.Errorf("nobody holds it: %+v", s)
		}
		m, other := mutexOf(rdb, ample), mutexOf(anotherClient(t, rdb), ample)
		m.Label, other.Label = "nightly report: Žižkov", strings.Repeat("x", 1000)
		l := lock(t, m)
		c := other.LockChan(t.Context())
		s := see(1)
		host, _ := os.Hostname()
		if len(s.Holders) != 1 || s.Holders[0].Label != m.Label || s.Holders[0].PID != os.Getpid() || s.Holders[0].Host != host ||
			s.Holders[0].Read || s.Holders[0].Remaining <= 0 || s.Holders[0].Remaining > ample || s.Holders[0].Fence != l.Fence() {
			t.Errorf("%+v, with the fence %d", s, l.Fence())
		}
		if want := m.Label + " (" + host + ", pid "; !strings.HasPrefix(s.Holders[0].String(), want) {
			t.Errorf("%s, not %s", s.Holders[0], want)
		}
		if s.Next.Label != other.Label[:100] || len(s.Queue) != 1 || s.Queue[0].Owner != s.Next {
			t.Errorf("the next one is %+v", s.Next)
		}
		unlock(t, l)
		l = receive(t, "the next one", c, 0)
		if s := see(0); s.Holders[0].Label != other.Label[:100] || s.Holders[0].Fence != l.Fence() {
			t.Errorf("%+v, with the fence %d", s, l.Fence())
		}
		unlock(t, l)
	})
}

func TestInspectRWMutex(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b, w := mutex.NewRW(rdb, "key"), mutex.NewRW(anotherClient(t, rdb), "key"), mutex.NewRW(anotherClient(t, rdb), "key")
		a.Label, b.Label, w.Label = "a", "b", "w"
		a.RLock()
		a.RLock()
		b.RLock()
		c := w.LockChan(t.Context())
		var s mutex.Status
		redistest.Eventually(t, 5*time.Second, func() bool {
			s, _ = b.Inspect(t.Context())
			return s.Waiters == 1
		}, "nobody waits")
		if len(s.Holders) != 2 || !s.Holders[0].Read || !s.Holders[1].Read || s.Next.Label != "w" || len(s.Queue) != 1 || s.Queue[0].Read || s.Queue[0].Label != "w" {
			t.Errorf("%+v", s)
		}
		for _, m := range []*mutex.RWMutex{a, a, b} {
			m.RUnlock()
		}
		l := receive(t, "the writer", c, 0)
		if s, err := a.Inspect(t.Context()); err != nil || len(s.Holders) != 1 || s.Holders[0].Read || s.Holders[0].Label != "w" || s.Holders[0].Fence != l.Fence() {
			t.Errorf("%+v, %v", s, err)
		}
		unlock(t, l)
		if s, err := a.Inspect(t.Context()); err != nil || s.Held() || s.Waiters > 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// TestInspectFails: it says why it cannot tell, and does not wait for Redis.
func TestInspectFails(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	rdb.LPush(t.Context(), "key", "x")
	if _, err := mutexOf(rdb, ample).Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), `inspect "key": WRONGTYPE`) {
		t.Error(err)
	}
	if _, err := mutex.NewRW(rdb, "key").Inspect(t.Context()); err == nil || !strings.Contains(err.Error(), `inspect "key": WRONGTYPE`) {
		t.Error(err)
	}
	for what, in := range map[string]func(context.Context) (mutex.Status, error){
		"the key is empty":        mutex.New(rdb, "").Inspect,
		"not made by New":         new(mutex.Mutex).Inspect,
		"not made by NewRW":       new(mutex.RWMutex).Inspect,
		"the Redis client is nil": mutex.NewRW(nil, "key").Inspect,
		"the library's own":       mutex.NewRW(rdb, "baton:{x}").Inspect,
		"not made by NewPool":     func(ctx context.Context) (mutex.Status, error) { return new(mutex.Pool).Inspect(ctx, "x") },
		"begin with baton:{ are t": func(ctx context.Context) (mutex.Status, error) {
			return mutex.NewPool(rdb, "baton:").Inspect(ctx, "{x}")
		},
	} {
		if _, err := in(t.Context()); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, not %q", err, what)
		}
	}
	p := redistest.NewProxy(t, s.Addr())
	p.Blackhole(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := mutexOf(p.Client(t), ample).Inspect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	p.Blackhole(false)
}
