package mutex_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A proxy imitates servers that differ from Redis. See also the tests of Check, and clienttest.

// A server without HELLO, or without SUBSCRIBE, hands a lock over between two clients. Without
// SUBSCRIBE, polls find the hand-over.
func TestServerWithoutCommand(t *testing.T) {
	t.Parallel()
	for command, subscribes := range map[string]bool{"hello": true, "subscribe": false} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			p := redistest.NewProxy(t, s.Addr())
			p.Answer("\r\n"+command+"\r\n", "ERR unknown command '"+strings.ToUpper(command)+"', with args beginning with: ")
			l, next := lock(t, mutexOf(p.Client(t), "key")), mutexOf(p.Client(t), "key")
			waiting := next.LockChan(t.Context())
			awaitWaiters(t, next.Inspect, 1)
			unlock(t, l)
			unlock(t, receive(t, waiting))
			if n := s.Subscribers(t, "baton:*"); p.Faults().Answered == 0 || !subscribes && n != 0 {
				t.Errorf("%d subscriptions; the proxy has replied %d times", n, p.Faults().Answered)
			}
		})
	}
}

// If a server refuses a feature that scripts need, the first use returns a permanent error with the
// remedy.
func TestServerWhoseScriptsAreRefused(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct{ text, want string }{
		"TIME":       {"ERR Error running script: @user_script:9: This Redis command is not allowed from script", "must allow TIME in scripts"},
		"undeclared": {"ERR Error running script: @user_script:21: script tried accessing undeclared key", "refuses keys of a script that are not declared"},
		"a cluster":  {"MOVED 9 10.0.0.1:6379", "redis.NewClusterClient"},
		"no scripts": {"ERR unknown command 'EVALSHA'", "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := redistest.NewProxy(t, redistest.Start(t).Addr())
			p.Answer("\r\nevalsha\r\n", r.text)
			p.Answer("\r\neval\r\n", r.text)
			rdb := p.Client(t)
			refused := func(what string, err error) {
				t.Helper()
				if !retry.IsPermanent(err) || !strings.Contains(err.Error(), r.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := mutexOf(rdb, "key").LockContext(t.Context())
			refused("a mutex", err)
			_, err = mutex.NewRW(rdb, "rw").RLockContext(t.Context())
			refused("a reader/writer lock", err)
			_, err = mutex.NewPool(rdb, "").LockContext(t.Context(), "a", "b")
			refused("a pool", err)
		})
	}
}

// An unknown error is retried until ctx ends. Without a ctx that can end, it becomes permanent.
func TestServerWithUnknownErrors(t *testing.T) {
	t.Parallel()
	const text = "ERR upstream failure"
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := p.Client(t, func(o *redis.Options) { o.MaxRetries = -1 })
	m := mutex.New(rdb, "key")
	m.TTL = 300 * time.Millisecond
	p.Answer("\r\nevalsha\r\n", text)
	if _, err := m.TryLockContext(t.Context()); err == nil || retry.IsPermanent(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("a try: %v", err)
	}
	replies := func(n int64) {
		before := p.Faults().Answered
		redistest.Eventually(t, redistest.Patience, func() bool { return p.Faults().Answered >= before+n }, "the request is retried")
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := m.LockChan(ctx)
	replies(2) // at the second reply, the first has been received
	cancel()
	if r := <-waiting; !errors.Is(r.Err, context.Canceled) || !strings.Contains(r.Err.Error(), text) {
		t.Errorf("a wait: %v", r.Err)
	}
	if _, err := m.LockContext(context.Background()); !retry.IsPermanent(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("a wait without an end of ctx: %v", err)
	}
	waiting = mutexOf(rdb, "key").LockChan(t.Context())
	replies(1)
	p.Answer("\r\nevalsha\r\n", "")
	unlock(t, receive(t, waiting))
}
