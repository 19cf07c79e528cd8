package mutex_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultDown stops Redis for some seconds (row 44): connections are refused, or closed as soon as
// they are made. The holder's loss is reported in time. Waiters of both styles dial ever more rarely,
// and continue after the outage.
func TestFaultDown(t *testing.T) {
	t.Parallel()
	const ttl, outage = time.Second, 2 * time.Second
	type fault struct {
		begin, end func(*testing.T, *redistest.Server, *redistest.Proxy)
		target     func(*redistest.Server, *redistest.Proxy) string
	}
	runTogether(t, map[string]fault{
		"Dead": {
			func(t *testing.T, s *redistest.Server, p *redistest.Proxy) { s.Kill() },
			func(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
				must(s.Restart())
			},
			func(s *redistest.Server, p *redistest.Proxy) string { return s.Addr() },
		},
		"Closing": {
			func(t *testing.T, s *redistest.Server, p *redistest.Proxy) { p.Refuse(true) },
			func(t *testing.T, s *redistest.Server, p *redistest.Proxy) { p.Refuse(false) },
			func(s *redistest.Server, p *redistest.Proxy) string { return p.Addr() },
		},
	}, func(t *testing.T, fault fault) {
		s, p := kit.StartWithProxy(t)
		var dials atomic.Int64
		counting := func(o *redis.Options) {
			o.Addr = fault.target(s, p)
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		}
		l := lock(t, mutexOf(s.Client(t, func(o *redis.Options) { o.Addr = fault.target(s, p) }), ttl))
		done := l.Done()
		m := mutexOf(s.Client(t, counting), ttl)
		next := enqueue(t, s, m, 1)
		locked := make(chan struct{})
		go func() {
			m.Lock()
			close(locked)
		}()
		fault.begin(t, s, p)
		start, before := time.Now(), dials.Load()
		expectLoss(t, l, done, start, ttl)
		expectExcluded(t, next, time.Until(start.Add(outage)))
		redistest.CheckCount(t, "the dials in an outage of two seconds", dials.Load()-before, 40)
		fault.end(t, s, p)
		start = time.Now()
		unlock(t, receive(t, "to lock when Redis is back", next, poll))
		<-locked
		checkBound(t, "both locks", start, poll)
		m.Unlock()
		expectNothingLeft(t, s, poll)
	})
}

// TestFaultPoolExhausted locks while the pool has no free connection (row 45).
func TestFaultPoolExhausted(t *testing.T) {
	t.Parallel()
	const wait = 500 * time.Millisecond
	s := redistest.Start(t)
	rdb := s.Client(t, func(o *redis.Options) { o.PoolSize, o.PoolTimeout = 1, 100*time.Millisecond })
	m := mutexOf(rdb, ample)
	unlock(t, lock(t, m))
	popped := make(chan error)
	go func() { popped <- rdb.BLPop(context.Background(), 0, "list").Err() }()
	redistest.Eventually(t, poll, func() bool {
		return strings.Contains(s.Do(t, "INFO", "clients").(string), "blocked_clients:1")
	}, "a client is blocked")

	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	start := time.Now()
	_, err := m.LockContext(ctx)
	checkBound(t, "LockContext", start, wait)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, redis.ErrPoolTimeout) {
		t.Errorf("the error is %v", err)
	}
	start = time.Now()
	if l, err := mutex.New(rdb, "another").TryLockContext(t.Context()); err == nil || errors.Is(err, mutex.ErrLocked) {
		t.Errorf("a try without a connection: %v, %v", l, err)
	}
	checkBound(t, "TryLockContext", start, 100*time.Millisecond)
	next := m.LockChan(t.Context())
	s.Do(t, "LPUSH", "list", "value")
	if err := <-popped; err != nil {
		t.Error(err)
	}
	unlock(t, receive(t, "to lock when a connection is free", next, poll))
	expectNothingLeft(t, s, poll)
}
