package mutex_test

import (
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
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
	m := redistest.Mini(t)
	rdb := redistest.MiniClient(t, m)
	for text, remedy := range map[string]string{
		"ERR Error running script: @user_script:9: This Redis command is not allowed from script": "must allow TIME in scripts",
		"ERR Error running script: @user_script:21: script tried accessing undeclared key":        "refuses keys of a script that are not declared",
		"MOVED 9 10.0.0.1:6379":         "redis.NewClusterClient",
		"ERR unknown command 'EVALSHA'": "unknown command",
	} {
		must(rdb.Ping(t.Context()).Err()) // connects before the error is set
		m.SetError(text)
		_, err := mutexOf(rdb, "key").LockContext(t.Context())
		m.SetError("")
		if !retry.IsPermanent(err) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
