package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestFaultUnsubscribed closes the subscription just before a hand-over (row 40). The message is lost, and
// the waiter polls when it has subscribed again.
func TestFaultUnsubscribed(t *testing.T) {
	t.Parallel()
	runTogether(t, map[string]func(*testing.T, *redistest.Server, *redistest.Proxy){
		"Killed": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
			if n := s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub"); n != int64(1) {
				t.Errorf("%v subscriptions were killed", n)
			}
		},
		"Dropped": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
			if n := p.DropSubscribers(); n != 1 {
				t.Errorf("%d subscriptions were dropped", n)
			}
		},
		"Slow": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) { // row 43
			s.Do(t, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 1kb 0 0")
			channel := s.Do(t, "PUBSUB", "CHANNELS").([]any)[0]
			p.Blackhole(true)
			s.Do(t, "PUBLISH", channel, string(make([]byte, 1<<20)))
			redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "*") == 0 }, "the slow subscriber is disconnected")
			p.Blackhole(false)
		},
	}, func(t *testing.T, drop func(*testing.T, *redistest.Server, *redistest.Proxy)) {
		s, p := kit.StartWithProxy(t)
		l := lock(t, mutexOf(s.Client(t), ample))
		next := enqueue(t, s, mutexOf(p.Client(t), ample), 1)
		redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the waiter is subscribed")
		drop(t, s, p)
		unlock(t, l)
		unlock(t, receive(t, "to detect the hand-over", next, 100*time.Millisecond)) // it reconnects after about 50 ms
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultMessageLate delivers a hand-over message after its window, when another process has the lock
// (row 41). The waiter ignores the message.
func TestFaultMessageLate(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	m := mutexOf(s.Client(t), ample)
	l := lock(t, m)
	next := enqueue(t, s, mutexOf(p.Client(t), ttl), 1)
	redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the waiter is subscribed")
	p.DelayMessages(2 * ttl)
	p.BlackholeRequests(true) // otherwise a poll would get the lock
	unlock(t, l)
	l = lockWithin(t, "to acquire the lock of the uninformed waiter", m, max(ttl, poll))
	expectExcluded(t, next, 2*ttl)
	p.BlackholeRequests(false)
	expectExcluded(t, next, ttl)
	if l.Err() != nil {
		t.Errorf("the hold ended: %v", l.Err())
	}
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 2*ttl+poll))
	kit.ExpectFault(t, "no message was late", p.Faults().MessagesDelayed)
	expectNothingLeft(t, s, poll)
}
