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

// A proxy imitates servers that differ from Redis. [TestCheckRefusedCommands] and its neighbours have
// others, and clienttest has a proxy that distributes keys.

// handsOver has a lock handed over between two clients of the proxy.
func handsOver(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
	t.Helper()
	l := lock(t, mutexOf(p.Client(t), "key"))
	waiting := mutexOf(p.Client(t), "key").LockChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Do(t, "ZCARD", "baton:{key}:queue") == int64(1) }, "the next waits")
	unlock(t, l)
	unlock(t, receive(t, waiting))
	if p.Faults().Answered == 0 {
		t.Error("the proxy has imitated nothing")
	}
}

func TestServerWithoutHello(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	p.Answer("\r\nhello\r\n", "ERR unknown command 'HELLO', with args beginning with: '3'")
	handsOver(t, s, p)
}

// Without SUBSCRIBE, polls find the hand-over.
func TestServerWithoutSubscribe(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	p.Answer("\r\nsubscribe\r\n", "ERR unknown command 'subscribe'")
	handsOver(t, s, p)
	if n := s.Subscribers(t, "baton:*"); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// What a server cannot do for scripts is a permanent error at first use, with the remedy.
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

// An error of unknown text is waited out, by a call that can end as long as it can wait.
func TestServerWithUnknownErrors(t *testing.T) {
	t.Parallel()
	const text = "ERR upstream failure"
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	m := mutex.New(p.Client(t, func(o *redis.Options) { o.MaxRetries = -1 }), "key")
	m.TTL = time.Second
	p.Answer("\r\nevalsha\r\n", text)
	if _, err := m.TryLockContext(t.Context()); err == nil || retry.IsPermanent(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("a try: %v", err)
	}
	answers := func(n int64) {
		before := p.Faults().Answered
		redistest.Eventually(t, redistest.Patience, func() bool { return p.Faults().Answered >= before+n }, "it asks again")
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := m.LockChan(ctx)
	answers(2) // when the second comes, the first has been received
	cancel()
	if r := <-waiting; !errors.Is(r.Err, context.Canceled) || !strings.Contains(r.Err.Error(), text) {
		t.Errorf("a wait: %v", r.Err)
	}
	if _, err := m.LockContext(context.Background()); !retry.IsPermanent(err) || !strings.Contains(err.Error(), text) {
		t.Errorf("a wait without an end: %v", err)
	}
	waiting = m.LockChan(t.Context())
	answers(1)
	p.Answer("\r\nevalsha\r\n", "")
	unlock(t, receive(t, waiting))
}
