package lease

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// env is one fake Redis with its client processes, in a bubble.
type env struct {
	*testing.T
	redis  *fakeRedis
	leases []*Lease
}

func inBubble(t *testing.T, f func(e *env)) {
	synctest.Test(t, func(t *testing.T) {
		e := &env{T: t, redis: newFakeRedis()}
		f(e)
		for _, l := range e.leases {
			l.Release()
		}
		time.Sleep(time.Minute) // lingering claims end; the bubble reports goroutines that do not
	})
}

// inBubbles runs f for each row, in a subtest with its own bubble.
func inBubbles[T any](t *testing.T, rows map[string]T, f func(e *env, row T)) {
	for name, row := range rows {
		t.Run(name, func(t *testing.T) { inBubble(t, func(e *env) { f(e, row) }) })
	}
}

func (e *env) process() (*Manager, *fakeStore) {
	s := newFakeStore(e.redis)
	return NewManager(s), s
}

func (e *env) twoProcesses() (m1 *Manager, s1 *fakeStore, m2 *Manager, s2 *fakeStore) {
	m1, s1 = e.process()
	m2, s2 = e.process()
	return m1, s1, m2, s2
}

func params(ttl time.Duration) Params {
	return Params{Kind: Mutex, Key: "key", TTL: ttl, Weight: 1}
}

// withClaim runs f with the claim that m has on the key, under the mutex of its queue.
func withClaim(m *Manager, kind Kind, f func(c *claim)) {
	q := m.queueFor(Name{Kind: kind, Key: "key"})
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q.claim)
}

func claimOf(m *Manager, kind Kind) (of *claim) {
	withClaim(m, kind, func(c *claim) { of = c })
	return of
}

func renewNow(m *Manager, kind Kind) {
	withClaim(m, kind, func(c *claim) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.RenewNow(c, time.Now())
	})
}

func keysNumbered(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint("key", i))
	}
	return keys
}

func (e *env) owner() string {
	return locked(&e.redis.mu, func() string { return e.redis.key("key").owner })
}

// evict removes the permits of token from Redis.
func (e *env) evict(token string) {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	e.redis.permitsOf(Name{Kind: Semaphore, Key: "key"}).remove(token)
}

func (e *env) checkWithin(what string, start time.Time, bound time.Duration) {
	e.Helper()
	if got := time.Since(start); got > bound {
		e.Errorf("%s after %v, want at most %v", what, got, bound)
	}
}

// TestWindowCountsFromSending slows the network down. The hold must end one TTL after the request
// was sent, not after its reply, because Redis starts the TTL in between.
func TestWindowCountsFromSending(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.setLatency(300 * time.Millisecond)
		start := time.Now()
		l := e.acquire(m, params(time.Second))
		s.fault = func() fault { return lostRequest } // no renewal gets through
		<-l.Done()
		e.checkWithin("the loss after a grant", start, time.Second)
	})
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.acquire(m, params(time.Second))
		var sent time.Time
		s.change(func() { // only the first renewal arrives
			s.latency = func() time.Duration {
				if sent.IsZero() {
					sent = time.Now()
					return 250 * time.Millisecond
				}
				return 0
			}
			s.fault = func() fault {
				if time.Since(sent) == 250*time.Millisecond {
					return fine
				}
				return lostRequest
			}
		})
		<-l.Done()
		e.checkWithin("the loss after a renewal", sent, time.Second)
	})
}

// TestMessageWithUnknownNumber delivers messages with a sequence number that was never sent, or
// was sent long ago, while another process holds the lock. They must not grant anything.
func TestMessageWithUnknownNumber(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		held := e.acquire(m1, params(10*time.Second))
		_, got := e.request(e.Context(), m2, params(10*time.Second))
		time.Sleep(20 * time.Second) // many requests later
		var c *claim
		var last int64
		withClaim(m2, Mutex, func(of *claim) { c, last = of, of.requests.seq })
		for _, n := range []int64{0, 1, last + 100, -1} {
			m2.HandleMessage(Handover{Name: Name{Kind: Mutex, Key: "key"}, Token: c.token, Seq: n, FenceBase: 1, Weight: 1})
			synctest.Wait()
		}
		e.checkWaits("the waiter", got)
		held.Release()
		<-got
	})
}

// TestMessageLate delivers a hand-over message after the hand-over has expired and another
// process holds the lock. It must not grant anything. The message has the number of the
// second last request, because the last one is stuck, or of one sent long ago.
func TestMessageLate(t *testing.T) {
	inBubbles(t, map[string]func(*fakeStore){
		"stuck": func(s *fakeStore) { s.setLatency(time.Minute) },
		"lost":  func(s *fakeStore) { s.setFault(lostRequest) },
	}, func(e *env, cut func(*fakeStore)) {
		m1, s1, m2, s2 := e.twoProcesses()
		m3, _ := e.process()
		held := e.acquire(m1, params(10*time.Second))
		_, got := e.request(e.Context(), m2, params(10*time.Second))
		time.Sleep(100 * time.Millisecond) // the waiter is queued and subscribed
		s1.delayMessages(4 * time.Second)  // the request of that number is still among the last four
		cut(s2)                            // otherwise a poll would detect the expiry
		held.Release()
		start := time.Now()
		other := e.acquire(m3, params(10*time.Second))
		e.checkWithin("the expiry of the lock", start, 3*MaxPollInterval+10*time.Millisecond)
		time.Sleep(5 * time.Second) // the message has arrived
		e.checkWaits("the waiter", got)
		if other.Err() != nil {
			e.Error(other.Err())
		}
		s2.setFault(fine)
		s2.setLatency(0)
		other.Release()
		<-got
	})
}

// TestCancelUnderWay ends ctx while the request is in flight, on a slower connection than that of
// the release. Redis must keep nothing, even if the program exits when Acquire returns.
func TestCancelUnderWay(t *testing.T) {
	for _, latency := range []time.Duration{time.Millisecond, time.Second} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			calls := 0
			s.latency = func() time.Duration {
				if calls++; calls == 1 {
					return latency
				}
				return 50 * time.Microsecond
			}
			ctx, cancel := context.WithTimeout(e.Context(), 100*time.Microsecond)
			defer cancel()
			start := time.Now()
			err := new(Lease).Acquire(ctx, m, new(params(10*time.Second)))
			if !errors.Is(err, context.DeadlineExceeded) {
				e.Error(err)
			}
			e.checkWithin("a cancelled call returns", start, 6*time.Millisecond)
			if latency < retry.CancelTimeout && (e.owner() != "" || e.redis.requests != 1) {
				e.Errorf("the lock is still held by %q when the call has returned", e.owner())
			}
			time.Sleep(2*latency + 10*time.Millisecond)
			if e.owner() != "" {
				e.Errorf("%q still holds the lock, which was cancelled", e.owner())
			}
		})
	}
}

// TestReleaseReplyLost repeats a release. The second one finds nothing to release, which must not
// be reported as a loss.
func TestReleaseReplyLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.acquire(m, params(10*time.Second))
		s.nextFaults(lostReply, lostReply)
		if err := l.Release(); err != nil {
			e.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseAndLateReply receives the reply to a poll during the release of the same claim. The
// undo of the poll must not make the release look like a loss.
func TestReleaseAndLateReply(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s := e.twoProcesses()
		held := e.acquire(m1, params(10*time.Second))
		l, got := e.request(e.Context(), m2, params(10*time.Second))
		time.Sleep(100 * time.Millisecond)
		s.nextLatencies(ms, 150*ms /* the poll, longer than the release waits */, 130*ms)
		withClaim(m2, Mutex, (*claim).wake)
		time.Sleep(5 * ms)
		held.Release()
		<-got
		if err := l.Release(); err != nil {
			e.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseAwaitsPoll releases a lock that was handed over while a poll is in flight. If Redis
// executed the poll after the release, it would grant the lock to a released claim.
func TestReleaseAwaitsPoll(t *testing.T) {
	inBubbles(t, map[string]Params{"mutex": params(time.Minute), "writer": writing(time.Minute), "semaphore": taking(1, 1)}, func(e *env, p Params) {
		m1, _, m2, s2 := e.twoProcesses()
		m3, _ := e.process()
		held := e.acquire(m1, p)
		l, got := e.request(e.Context(), m2, p)
		time.Sleep(100 * ms)
		s2.nextLatencies(20*ms, 0, 0, 20*ms) // the poll, the release and its reply, the reply to the poll
		withClaim(m2, p.Kind, (*claim).wake)
		time.Sleep(ms)
		held.Release()
		e.checkGranted("the waiter", got, ms)
		if err := l.Release(); err != nil {
			e.Error(err)
		}
		for range 50 { // until after the reply to the poll
			if e.tryAtOnce(m3, p, 1) != 1 {
				e.Error("a try of the released lock fails")
				break
			}
			e.leases[len(e.leases)-1].Release()
			time.Sleep(ms)
		}
	})
}

// TestReleaseUnconfirmed cannot reach Redis until the lease has expired. It must return the error
// of Redis, not a loss, because the lease was never granted to another process.
func TestReleaseUnconfirmed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.acquire(m, params(time.Second))
		s.setFault(lostRequest)
		start := time.Now()
		err := l.Release()
		if !errors.Is(err, errNetwork) && !errors.Is(err, retry.ErrNoAnswer) || errors.Is(err, ErrLost) {
			e.Errorf("Release: %v", err)
		}
		e.checkWithin("Release gives up", start, time.Second)
		if !errors.Is(l.Err(), ErrUnlocked) {
			e.Error(l.Err())
		}
	})
}

// TestTryBehindReleasing tries while this process releases its own claim. The try waits for that
// release, however slow Redis is, but only for one attempt.
func TestTryBehindReleasing(t *testing.T) {
	inBubbles(t, map[string]fault{"slow": fine, "away": lostRequest}, func(e *env, how fault) {
		m, s := e.process()
		held := e.acquire(m, params(time.Minute))
		s.setLatency(time.Second)
		s.setFault(how)
		s.lag = func(time.Duration) time.Duration { return time.Second }
		released := make(chan error)
		go func() { released <- held.Release() }()
		synctest.Wait() // the release is in flight
		for range 10 {
			start, p, l := time.Now(), params(10*time.Second), new(Lease)
			p.Try = true
			switch err := l.Acquire(e.Context(), m, &p); {
			case how == fine && err == nil:
				e.checkWithin("a try returns", start, 4*time.Second) // the release and the request
				l.Release()
			case how == lostRequest && errors.Is(err, errNetwork):
				e.checkWithin("a try returns", start, 2*time.Second)
			default:
				e.Errorf("a try returns %v", err)
			}
			time.Sleep(10 * ms) // a failed release pauses
		}
		s.setFault(fine)
		<-released
	})
}

// TestTryDoesNotQueue tries a held lock in a subscribed process. The try is one request, and leaves
// no waiter to which the lock could be handed over.
func TestTryDoesNotQueue(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		e.acquire(m1, params(time.Minute))
		m2.AddUser()
		m2.Subscribe()
		time.Sleep(time.Millisecond)
		if !m2.Subscribed() {
			e.Fatal("the process is not subscribed")
		}
		s2.nextLatencies(0, 0, time.Second) // a second request would be late
		if err := e.try(m2, params(time.Minute)); !errors.Is(err, ErrLocked) {
			e.Error(err)
		}
		if n := len(e.redis.key("key").queue); n != 0 {
			e.Errorf("%d waiters in the queue", n)
		}
		m2.RemoveUser()
	})
}

// TestYieldLost loses the request that yields to other processes, and then cancels the local
// waiters. The yielded token must not keep the lock.
func TestYieldLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.acquire(m, params(time.Minute))
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.request(ctx, m, params(time.Minute))
		time.Sleep(2 * MinSlice)
		s.setFault(lostRequest)
		l.Release()
		time.Sleep(time.Second)
		cancel()
		<-got
		s.setFault(fine)
		time.Sleep(5 * time.Second)
		if e.owner() != "" {
			e.Errorf("%q still holds the lock, which was yielded", e.owner())
		}
	})
}

// TestUnknownTokenIsReleased hands the lock over to a token that the process does not know. This
// happens when a request is executed after its claim has ended.
func TestUnknownTokenIsReleased(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, _ := e.twoProcesses()
		held := e.acquire(m1, params(time.Minute))
		_, got := e.request(e.Context(), m2, params(time.Minute)) // opens the subscription
		time.Sleep(time.Second)
		e.redis.mu.Lock()
		key := e.redis.key("key")
		unknown := &fakeMutexWaiter{token: "unknown", channel: m2.Channel(), seq: 1, handoverTTL: time.Minute, seen: time.Now()}
		key.queue = append([]*fakeMutexWaiter{unknown}, key.queue...)
		e.redis.mu.Unlock()
		start := time.Now()
		held.Release()
		<-got
		e.checkWithin("the release of the unknown token", start, 10*time.Millisecond)
	})
}

// TestQueueAwaitsSubscription checks that a process enters the queue once it is subscribed, so that
// no hand-over message is lost, or after SubscribeTimeout.
func TestQueueAwaitsSubscription(t *testing.T) {
	for _, delay := range []time.Duration{client.SubscribeTimeout / 2, 2 * client.SubscribeTimeout} {
		inBubble(t, func(e *env) {
			m1, _, m2, s2 := e.twoProcesses()
			s2.subscribe = func(ctx context.Context) *fakeStore {
				select {
				case <-time.After(delay):
					return s2
				case <-ctx.Done():
					return nil
				}
			}
			held := e.acquire(m1, params(time.Minute))
			_, got := e.request(e.Context(), m2, params(time.Minute))
			time.Sleep(min(delay, client.SubscribeTimeout) - time.Millisecond)
			for want := range 2 {
				e.redis.mu.Lock()
				if n := len(e.redis.key("key").queue); n != want {
					e.Errorf("%d waiters in the queue, want %d", n, want)
				}
				e.redis.mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
			held.Release()
			<-got
		})
	}
}

// TestMessageLost loses the hand-over message. The next poll finds the lock. If the message is lost with
// the subscription, the claim sends a request as soon as it is subscribed again, before its next poll.
func TestMessageLost(t *testing.T) {
	inBubbles(t, map[string]bool{"alone": false, "with the subscription": true}, func(e *env, disconnect bool) {
		m1, s1, m2, s2 := e.twoProcesses()
		held := e.acquire(m1, params(time.Minute))
		_, got := e.request(e.Context(), m2, params(time.Minute))
		time.Sleep(MaxPollInterval + 50*ms) // shortly after a poll
		s1.delayMessages(-1)
		bound := MaxPollInterval + ms
		if disconnect {
			bound = 250 * ms
			s2.disconnect <- struct{}{}
		}
		held.Release()
		e.checkGranted("the waiter", got, bound)
	})
}

// TestSubscriptionToOldMaster subscribes a process to a healthy server that receives no messages.
// The subscription is replaced once polls have found a few hand-overs.
func TestSubscriptionToOldMaster(t *testing.T) {
	inBubbles(t, map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1)}, func(e *env, p Params) {
		m1, _, m2, s2 := e.twoProcesses()
		s2.subscribeToAnother(1)
		for i := range 2 * client.MinMissedLimit {
			held := e.acquire(m1, p)
			l, got := e.request(e.Context(), m2, p)
			time.Sleep(MaxPollInterval) // the waiter is queued
			bound := ms
			if i < client.MinMissedLimit {
				bound += MaxPollInterval
			}
			held.Release()
			e.checkGranted(fmt.Sprint("hand-over ", i), got, bound)
			l.Release()
		}
	})
}

// TestNothingPublished receives messages on no server. The subscription is replaced less and less
// often.
func TestNothingPublished(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		subscriptions := s2.subscribeToAnother(1000)
		for range 50 {
			held := e.acquire(m1, params(time.Minute))
			l, got := e.request(e.Context(), m2, params(time.Minute))
			time.Sleep(MaxPollInterval)
			held.Release()
			e.checkGranted("the waiter", got, MaxPollInterval+ms)
			l.Release()
		}
		if n := subscriptions(); n != 5 { // after 3, 6, 12, and 24 more
			e.Errorf("there were %d subscriptions, want 5", n)
		}
	})
}

// subscribeToAnother connects the first n subscriptions to another server. It returns a function
// that counts the subscriptions.
func (s *fakeStore) subscribeToAnother(n int64) (made func() int64) {
	another, subscriptions := newFakeStore(newFakeRedis()), new(atomic.Int64)
	s.subscribe = func(context.Context) *fakeStore {
		if subscriptions.Add(1) <= n {
			return another
		}
		return s
	}
	return subscriptions.Load
}

// TestDeadOwner acquires a lock behind a dead owner and a dead waiter. The wait must not exceed
// their TTLs, which are shorter than the interval of polls.
func TestDeadOwner(t *testing.T) {
	inBubble(t, func(e *env) {
		ttl := MaxPollInterval / 2
		e.redis.mu.Lock()
		key := e.redis.key("key")
		key.grant("dead", ttl)
		key.queue = []*fakeMutexWaiter{{token: "dead too", seq: 1, handoverTTL: ttl, seen: time.Now()}}
		e.redis.mu.Unlock()
		m, _ := e.process()
		start := time.Now()
		e.acquire(m, params(10*time.Second))
		e.checkWithin("the grant", start, 2*ttl+10*time.Millisecond)
	})
}

// TestWindowPassedBeforeItsTimer uses a lease whose window has passed before any timer has fired.
// The lease must be reported as lost.
func TestWindowPassedBeforeItsTimer(t *testing.T) {
	inBubbles(t, map[string]func(*Lease) error{
		"Err":     (*Lease).Err,
		"Release": (*Lease).Release,
		"Done": func(l *Lease) error {
			<-l.Done()
			return l.err
		},
		"Context": func(l *Lease) error {
			ctx, stop := l.Context(context.Background())
			defer stop()
			return context.Cause(ctx)
		},
	}, func(e *env, look func(*Lease) error) {
		m, _ := e.process()
		l := e.acquire(m, params(10*time.Second))
		l.queue.mu.Lock()
		l.claim.hold.window = client.NewTrustWindow(time.Now().Add(-time.Minute), 10*time.Second) // the machine was suspended
		l.queue.mu.Unlock()
		start := time.Now()
		if err := look(l); !errors.Is(err, ErrLost) {
			e.Errorf("got %v", err)
		}
		e.checkWithin("the error", start, 0)
	})
}

// TestFencesAcrossBlocks acquires more leases than one grant has fences.
func TestFencesAcrossBlocks(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		const n = 3*FencesPerGrant + 10
		leases, done := make([]Lease, n), make(chan int64, n)
		first := e.acquire(m, params(10*time.Second))
		for i := range leases {
			go func() {
				if err := leases[i].Acquire(e.Context(), m, new(params(10*time.Second))); err != nil {
					e.Error(err)
				}
				done <- leases[i].Fence()
				leases[i].Release()
			}()
		}
		synctest.Wait()
		last := first.Fence()
		first.Release()
		for range n {
			fence := <-done
			if fence <= last {
				e.Fatalf("fence %d after %d", fence, last)
			}
			last = fence
		}
		if e.redis.requests < 4 {
			e.Errorf("%d leases from %d requests", n, e.redis.requests)
		}
	})
}
