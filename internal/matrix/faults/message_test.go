package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultUnsubscribed closes the subscription just before a hand-over (rows 40 and 43). The message is
// lost, and the waiter polls when it has subscribed again.
func TestFaultUnsubscribed(t *testing.T) {
	each(t, map[string]func(*testing.T, *redistest.Server, *redistest.Proxy){
		"Killed": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
			expectFault(t, "a subscription was killed", s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub").(int64), 1)
		},
		"Dropped": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) {
			expectFault(t, "a subscription was dropped", int64(p.DropSubscribers()), 1)
		},
		"Slow": func(t *testing.T, s *redistest.Server, p *redistest.Proxy) { // row 43
			s.Do(t, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 1kb 0 0")
			channel := s.Do(t, "PUBSUB", "CHANNELS").([]any)[0]
			p.Blackhole(true)
			s.Do(t, "PUBLISH", channel, string(make([]byte, 1<<20)))
			awaitSubscribers(t, s, 0)
			p.Blackhole(false)
		},
	}, func(t *testing.T, drop func(*testing.T, *redistest.Server, *redistest.Proxy)) {
		s, p := proxied(t)
		l := lock(t, mutexOf(s.Client(t), ample))
		next := enqueue(t, s, mutexOf(p.Client(t), ample), 1)
		awaitSubscribers(t, s, 1)
		drop(t, s, p)
		unlock(t, l)
		unlock(t, grant(t, "to detect the hand-over", next, 100*time.Millisecond)) // it reconnects after about 50 ms
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultMessageLate delivers a hand-over message after its window, when another process has the lock
// (row 41). The waiter ignores the message.
func TestFaultMessageLate(t *testing.T) {
	t.Parallel()
	const ttl = 600 * time.Millisecond
	s, p := proxied(t)
	m := mutexOf(s.Client(t), ample)
	l := lock(t, m)
	next := enqueue(t, s, mutexOf(p.Client(t), ttl), 1)
	awaitSubscribers(t, s, 1)
	p.DelayMessages(2 * ttl)
	p.BlackholeRequests(true) // otherwise a poll would get the lock
	unlock(t, l)
	l = lockWithin(t, "to acquire the lock of the uninformed waiter", m, max(ttl, poll))
	expectExcluded(t, next, 2*ttl)
	p.BlackholeRequests(false)
	expectExcluded(t, next, ttl)
	unlock(t, l)
	unlock(t, grant(t, "the hand-over", next, 2*ttl+poll))
	expectFault(t, "messages were late", p.Faults().MessagesDelayed, 0)
	expectNothingLeft(t, s, poll)
}

// TestReadersMissTheNoticeOfAWriter drops the notice of a waiting writer to the readers (row 41). Their next
// renewal or their next subscription detects the writer.
func TestReadersMissTheNoticeOfAWriter(t *testing.T) {
	each(t, map[string]time.Duration{"Renewal": 4 * time.Second, "Subscription": time.Minute}, func(t *testing.T, ttl time.Duration) {
		s, p := proxied(t)
		a := rwOf(p.Client(t), ttl)
		first := rlock(t, a)
		expectKept(t, first, 30*time.Millisecond) // more than a time slice
		unlock(t, rlock(t, a))                    // ensures a subscription
		awaitSubscribers(t, s, 1)
		p.DropMessages(1)
		start, bound := time.Now(), ttl/3+poll
		next := enqueue(t, s, rwOf(s.Client(t), ttl), 1)
		redistest.Eventually(t, redistest.Patience, func() bool { return p.Faults().MessagesDropped == 1 }, "the notice is dropped")
		if ttl == time.Minute {
			bound = poll
			expectFault(t, "a subscription was dropped", int64(p.DropSubscribers()), 1)
		}
		redistest.Eventually(t, bound+slack, func() bool {
			joined := a.TryRLock()
			if joined {
				a.RUnlock()
			}
			return !joined
		}, "no reader can join")
		checkBound(t, "to keep new readers out", start, bound)
		unlock(t, first)
		unlock(t, grant(t, "the writer", next, 0))
		expectNothingLeft(t, s, poll)
	})
}

// TestFaultFlood floods the channel of a waiting process (row 42) with more messages than go-redis
// buffers: hand-overs whose results are not received, and invalid messages. They do not delay the
// message for another waiter.
func TestFaultFlood(t *testing.T) {
	t.Parallel()
	const unreceived, flood = 300, 5000
	s, p := proxied(t)
	holder, waiter := s.Client(t), p.Client(t)
	held := make([]*mutex.Lease, unreceived)
	var results []<-chan mutex.Result
	for i := range held {
		key := fmt.Sprint("unreceived", i)
		held[i] = lock(t, mutex.New(holder, key))
		results = append(results, mutex.New(waiter, key).LockChan(t.Context()))
	}
	l := lock(t, mutexOf(holder, ample))
	next := enqueue(t, s, mutexOf(waiter, ample), 1)
	redistest.Eventually(t, redistest.Patience, func() bool {
		return strings.Count(fmt.Sprint(s.Keys(t)), ":queue") == unreceived+1
	}, "all keys have a waiter")
	before := s.Stats(t)
	for _, l := range held {
		unlock(t, l)
	}
	channel := s.Do(t, "PUBSUB", "CHANNELS", "baton:*").([]any)[0].(string)
	_, err := s.Client(t).Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range flood {
			pipe.Publish(t.Context(), channel, []string{"", "rubbish", "m 0 0 1 1 0 baton:1:nobody key", strings.Repeat("x", 100)}[i%4])
		}
		return nil
	})
	check(t, err)
	p.BlackholeRequests(true) // otherwise a poll would get the lock
	unlock(t, l)
	n := grant(t, "the hand-over behind a flood", next, 0)
	p.BlackholeRequests(false)
	unlock(t, n)
	expectFault(t, "messages were published", s.Stats(t).Since(before).Published(), unreceived+flood+1)
	for _, c := range results {
		r := <-c
		if r.Err == nil {
			r.Err = r.Lease.Unlock()
		}
		if r.Err != nil && !errors.Is(r.Err, mutex.ErrLost) { // on a busy machine, the result may be received too late
			t.Error(r.Err)
		}
	}
	expectNothingLeft(t, s, 0)
}

// TestRedialOfTheSubscriptionHangs cuts the subscription and blocks new connections, while the existing
// connections work (row 71). Waits end by polling.
func TestRedialOfTheSubscriptionHangs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var hangs atomic.Bool
	heal := make(chan struct{})
	dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second})
	rdb := s.Client(t, func(o *redis.Options) {
		o.MinIdleConns = 3
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if hangs.Load() {
				<-heal
			}
			return dial(ctx, network, addr)
		}
	})
	m := mutexOf(s.Client(t), ample)
	for round := range 3 {
		l := lock(t, m)
		next := enqueue(t, s, mutexOf(rdb, ample), 1)
		if round == 0 {
			awaitSubscribers(t, s, 1)
			hangs.Store(true)
			s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub")
		}
		unlock(t, l)
		unlock(t, grant(t, "to detect the hand-over", next, poll))
	}
	close(heal)
	expectNothingLeft(t, s, 2*poll)
}

// TestSubscriptionOnAnOldMaster moves a waiter's commands to a new master, while its subscription stays on
// the old one, which still replies (row 72). Three hand-overs are detected by polls. Then the
// subscription is replaced, and the next hand-over arrives by message.
func TestSubscriptionOnAnOldMaster(t *testing.T) {
	t.Parallel()
	older, newer := redistest.Start(t), redistest.Start(t)
	p := redistest.NewProxy(t, older.Addr())
	rdb := p.Client(t)
	for _, s := range []*redistest.Server{older, newer} { // a waiter keeps the subscription open
		s.Do(t, "SET", "pinned", "by hand")
	}
	ctx, cancel := context.WithCancel(t.Context())
	pinned := mutex.New(rdb, "pinned").LockChan(ctx)
	defer func() {
		cancel()
		<-pinned
	}()
	awaitSubscribers(t, older, 1)
	p.Retarget(newer.Addr())
	older.Do(t, "CLIENT", "KILL", "TYPE", "normal")

	m := mutexOf(newer.Client(t), ample)
	for missed := 0; ; missed++ {
		l := lock(t, m)
		next := enqueue(t, newer, mutexOf(rdb, ample), 1)
		subscribed := newer.Subscribers(t, "baton:*") > 0
		unlock(t, l)
		if subscribed {
			unlock(t, grant(t, "the hand-over by message", next, 0))
			if missed < 3 {
				t.Errorf("the subscription was replaced after %d polls", missed)
			}
			break
		}
		if missed == 4 { // the replacement starts after the third, during the fourth
			t.Fatal("the subscription stays on the old master")
		}
		unlock(t, grant(t, "to detect the hand-over", next, poll))
	}
	awaitSubscribers(t, older, 0)
}
