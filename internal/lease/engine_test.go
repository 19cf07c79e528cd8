package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestWindowCountsFromSending slows a renewal down. The hold must end one TTL after the renewal was
// sent, not after its reply, because Redis starts the TTL in between. TestRoundTripLongerThanWindow does
// the same with a grant.
func TestWindowCountsFromSending(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.acquire(m, params(time.Second))
		var sent time.Time
		s.change(func() { // only the first renewal arrives
			s.latency = func() time.Duration {
				if sent.IsZero() {
					sent = time.Now()
					return 250 * ms
				}
				return 0
			}
			s.fault = func() fault {
				if time.Since(sent) == 250*ms {
					return fine
				}
				return lostRequest
			}
		})
		<-l.Done()
		e.checkWithin("the loss after a renewal", sent, time.Second)
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
		time.Sleep(100 * ms)              // the waiter is queued and subscribed
		s1.delayMessages(4 * time.Second) // the request of that number is still among the last four
		cut(s2)                           // otherwise a poll would detect the expiry
		held.Release()
		start := time.Now()
		other := e.acquire(m3, params(10*time.Second))
		e.checkWithin("the expiry of the lock", start, 3*MaxPollInterval+10*ms)
		time.Sleep(5 * time.Second) // the message has arrived
		e.checkWaits("the waiter", got)
		e.checkError("the other lease", other.Err())
		s2.setFault(fine)
		s2.setLatency(0)
		other.Release()
		<-got
	})
}

// TestCancelUnderWay ends ctx while the request is in flight, on a slower connection than that of
// the release. Redis must keep nothing, even if the program exits when Acquire returns.
func TestCancelUnderWay(t *testing.T) {
	for _, latency := range []time.Duration{ms, time.Second} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			s.nextLatencies(latency)
			ctx, cancel := context.WithTimeout(e.Context(), ms/10)
			defer cancel()
			start := time.Now()
			e.checkError("Acquire", new(Lease).Acquire(ctx, m, new(params(10*time.Second))), context.DeadlineExceeded)
			e.checkWithin("a cancelled call returns", start, 6*ms)
			if n := e.redis.counted().requests; latency < retry.CancelTimeout && n != 1 {
				e.Errorf("the call returns after %d requests, want 1", n)
			}
			e.checkUsed(Mutex, 0)
			time.Sleep(2*latency + 10*ms)
			e.checkUsed(Mutex, 0)
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
		e.checkError("Release", l.Release())
	})
}

// TestReleaseAndLateReply receives the reply to a poll during the release of the same claim. The
// undo of the poll must not make the release look like a loss.
func TestReleaseAndLateReply(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s := e.twoProcesses()
		held := e.acquire(m1, params(10*time.Second))
		l, got := e.request(e.Context(), m2, params(10*time.Second))
		time.Sleep(100 * ms)
		s.nextLatencies(ms, 150*ms /* the poll, longer than the release waits */, 130*ms)
		withClaim(m2, Mutex, (*claim).wake)
		time.Sleep(5 * ms)
		held.Release()
		<-got
		e.checkError("Release", l.Release())
	})
}

// TestReleaseAwaitsPoll releases a lock that was handed over while a poll is in flight. If Redis
// executed the poll after the release, it would grant the lock to a released claim.
func TestReleaseAwaitsPoll(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
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
		e.checkError("Release", l.Release())
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
		if err := l.Release(); !errors.Is(err, errNetwork) && !errors.Is(err, retry.ErrNoAnswer) || errors.Is(err, ErrLost) {
			e.Errorf("Release: %v", err)
		}
		e.checkWithin("Release gives up", start, time.Second)
		e.checkError("the lease", l.Err(), ErrUnlocked)
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
		e.checkUsed(Mutex, 0)
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
			time.Sleep(min(delay, client.SubscribeTimeout) - ms)
			for want := range 2 {
				equal(e, "waiters in the queue", e.waiters("key"), want)
				time.Sleep(2 * ms)
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

// TestSubscriptionToOldMaster subscribes a process to a healthy server that receives no messages.
// The subscription is replaced once polls have found a few hand-overs. If that does not help, it is
// replaced less and less often.
func TestSubscriptionToOldMaster(t *testing.T) {
	type row struct {
		p             Params
		rounds        int
		old, replaced int64 // subscriptions to the old master, and all
	}
	inBubbles(t, map[string]row{
		"mutex":       {params(time.Minute), 2 * client.MinMissedLimit, 1, 2},
		"semaphore":   {taking(1, 1), 2 * client.MinMissedLimit, 1, 2},
		"no messages": {params(time.Minute), 50, 1000, 5}, // replaced after 3, 6, 12, and 24 more
	}, func(e *env, c row) {
		m1, _, m2, s2 := e.twoProcesses()
		subscriptions := s2.subscribeToAnother(c.old)
		for i := range c.rounds {
			held := e.acquire(m1, c.p)
			l, got := e.request(e.Context(), m2, c.p)
			time.Sleep(MaxPollInterval) // the waiter is queued
			bound := ms
			if c.old > 1 || i < client.MinMissedLimit {
				bound += MaxPollInterval
			}
			held.Release()
			e.checkGranted(fmt.Sprint("hand-over ", i), got, bound)
			l.Release()
		}
		equal(e, "subscriptions", subscriptions(), c.replaced)
	})
}

// deadWaiter puts a waiter of a process that is gone at the head of the queue.
func (e *env) deadWaiter(token, channel string) {
	e.withKey(mutexKey, func(k *fakeKey) {
		r := Request{Token: token, Channel: channel, Want: 1, Seq: 1, HandoverTTL: MaxPollInterval / 2}
		k.queue = slices.Insert(k.queue, 0, &fakeWaiter{r, time.Now()})
	})
}

// deadOwner grants the Mutex to a process that is gone.
func (e *env) deadOwner(ttl time.Duration) {
	e.withKey(mutexKey, func(k *fakeKey) { k.grant(Request{Token: "dead", Want: 1}, ttl, 0) })
}

// TestDeadOwner acquires a lock behind a dead owner and a dead waiter. The wait must not exceed
// their TTLs, which are shorter than the interval of polls.
func TestDeadOwner(t *testing.T) {
	inBubble(t, func(e *env) {
		e.deadOwner(MaxPollInterval / 2)
		e.deadWaiter("dead too", "")
		m, _ := e.process()
		start := time.Now()
		e.acquire(m, params(10*time.Second))
		e.checkWithin("the grant", start, MaxPollInterval+10*ms)
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
		e.deadWaiter("unknown", m2.Channel())
		held.Release()
		e.checkGranted("the waiter behind it", got, 10*ms)
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
		withClaim(m, Mutex, func(c *claim) { c.hold.window = client.NewTrustWindow(time.Now().Add(-time.Minute), c.ttl) }) // the machine was suspended
		start := time.Now()
		e.checkError("the lease", look(l), ErrLost)
		e.checkWithin("the error", start, 0)
	})
}
