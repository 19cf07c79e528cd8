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

// env is one fake Redis and the processes at it, in a bubble.
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
		time.Sleep(time.Minute) // whatever lingers ends; what does not, the bubble reports
	})
}

func (e *env) process() (*Manager, *fakeStore) {
	s := newFakeStore(e.redis)
	return NewManager(s), s
}

func params(ttl time.Duration) Params {
	return Params{Kind: Mutex, Key: "key", TTL: ttl, Weight: 1}
}

func (e *env) owner() string {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	return e.redis.key("key").owner
}

func (e *env) within(what string, start time.Time, bound time.Duration) {
	e.Helper()
	if got := time.Since(start); got > bound {
		e.Errorf("%s after %v, want at most %v", what, got, bound)
	}
}

// TestWindowCountsFromSending slows the network down: the hold must end by the
// time of the request, not of the reply, for Redis counts from in between.
func TestWindowCountsFromSending(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		s.takes(300 * time.Millisecond)
		start := time.Now()
		l := e.take(m, params(time.Second))
		s.fault = func() fault { return lostRequest } // no renewal gets through
		<-l.Done()
		e.within("a grant's loss is told", start, time.Second)
	})
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.take(m, params(time.Second))
		var sent time.Time
		s.mu.Lock()
		s.latency = func() time.Duration { // of the first renewal: all others are lost
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
		s.mu.Unlock()
		<-l.Done()
		e.within("a renewal's loss is told", sent, time.Second)
	})
}

// TestMessageWithUnknownNumber delivers a message that echoes a request which was
// never sent, or long ago, while another holds the lock: it must not be believed.
func TestMessageWithUnknownNumber(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		held := e.take(k1, params(10*time.Second))
		_, got := e.want(e.Context(), k2, params(10*time.Second))
		time.Sleep(20 * time.Second) // many requests later
		line := k2.queues.Entries[Name{Kind: Mutex, Key: "key"}]
		line.mu.Lock()
		c, last := line.claim, line.claim.requests.seq
		line.mu.Unlock()
		for _, n := range []int64{0, 1, last + 100, -1} {
			k2.HandleMessage(Handover{Name: Name{Kind: Mutex, Key: "key"}, Token: c.token, Seq: n, FenceBase: 1, Weight: 1})
			synctest.Wait()
		}
		select {
		case <-got:
			e.Fatal("let in while another holds the lock")
		default:
		}
		held.Release()
		<-got
	})
}

// TestMessageLate delivers a hand-over's message when what it gave has run out, and
// another holds the lock: it must not be believed. It echoes the last request that
// this process has sent but for one, which is stuck, or one of long ago.
func TestMessageLate(t *testing.T) {
	for name, cut := range map[string]func(*fakeStore){
		"stuck": func(s *fakeStore) { s.takes(time.Minute) },
		"lost":  func(s *fakeStore) { s.always(lostRequest) },
	} {
		inBubble(t, func(e *env) {
			k1, s1 := e.process()
			k2, s2 := e.process()
			k3, _ := e.process()
			held := e.take(k1, params(10*time.Second))
			_, got := e.want(e.Context(), k2, params(10*time.Second))
			time.Sleep(100 * time.Millisecond) // it is in line, and hears
			s1.tells(4 * time.Second)          // the request that it echoes is still among the last four
			cut(s2)                            // else it would find out by asking
			held.Release()
			start := time.Now()
			other := e.take(k3, params(10*time.Second))
			e.within("the lock has run out", start, 3*MaxPollInterval+10*time.Millisecond)
			time.Sleep(5 * time.Second) // the message has come
			select {
			case <-got:
				e.Fatalf("%s: let in while another holds the lock", name)
			default:
			}
			if other.Err() != nil {
				e.Error(other.Err())
			}
			s2.always(fine)
			s2.takes(0)
			other.Release()
			<-got
		})
	}
}

// TestCancelUnderWay ends ctx while the request is under way, on a connection
// that is slower than the one of the release: nothing must stay behind, and a
// caller that exits as soon as Acquire has returned leaves nothing either.
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
			e.within("a cancelled call returns", start, 6*time.Millisecond)
			if latency < retry.CancelTimeout && (e.owner() != "" || e.redis.requests != 1) {
				e.Errorf("the lock is still held by %q when the call has returned", e.owner())
			}
			time.Sleep(2*latency + 10*time.Millisecond)
			if e.owner() != "" {
				e.Errorf("the lock is held by %q, though nobody wants it any more", e.owner())
			}
		})
	}
}

// TestReleaseReplyLost repeats the release, which then finds nothing to release:
// that is no loss.
func TestReleaseReplyLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.take(m, params(10*time.Second))
		s.fails(lostReply, lostReply)
		if err := l.Release(); err != nil {
			e.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseAndLateAnswer has the answer to a poll come while the release of the
// same claim is under way: what undoes the poll must not take the release's
// answer from it, which would then look like a loss.
func TestReleaseAndLateAnswer(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s := e.process()
		held := e.take(k1, params(10*time.Second))
		l, got := e.want(e.Context(), k2, params(10*time.Second))
		time.Sleep(100 * time.Millisecond)
		s.travels(ms, 150*ms /* the poll: the release does not wait so long */, 130*ms)
		line := k2.queues.Entries[Name{Kind: Mutex, Key: "key"}]
		line.mu.Lock()
		line.claim.wake()
		line.mu.Unlock()
		time.Sleep(5 * ms)
		held.Release()
		<-got
		if err := l.Release(); err != nil {
			e.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseAwaitsPoll releases what a message has brought while a poll is under way. Redis
// must not execute the poll after the release: it would grant the lock to nobody.
func TestReleaseAwaitsPoll(t *testing.T) {
	for name, p := range map[string]Params{"mutex": params(time.Minute), "writer": writing(time.Minute), "semaphore": taking(1, 1)} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			k3, _ := e.process()
			held := e.take(k1, p)
			l, got := e.want(e.Context(), k2, p)
			time.Sleep(100 * ms)
			s2.travels(20*ms, 0, 0, 20*ms) // the poll, the release and its reply, the reply to the poll
			q := k2.queues.Entries[Name{Kind: p.Kind, Key: p.Key}]
			q.mu.Lock()
			q.claim.wake()
			q.mu.Unlock()
			time.Sleep(ms)
			held.Release()
			e.gets(name, got, ms)
			if err := l.Release(); err != nil {
				e.Error(err)
			}
			for range 50 { // the poll has had its answer meanwhile
				if e.tries(k3, p, 1) != 1 {
					e.Errorf("%s: a try of what was released fails", name)
					break
				}
				e.leases[len(e.leases)-1].Release()
				time.Sleep(ms)
			}
		})
	}
}

// TestReleaseUnconfirmed cannot reach Redis until the lease has run out: the
// error is Redis', not a loss, for nobody else was let in meanwhile.
func TestReleaseUnconfirmed(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.take(m, params(time.Second))
		s.always(lostRequest)
		start := time.Now()
		err := l.Release()
		if !errors.Is(err, errNetwork) && !errors.Is(err, retry.ErrNoAnswer) || errors.Is(err, ErrLost) {
			e.Errorf("Release: %v", err)
		}
		e.within("Release gives up", start, time.Second)
		if !errors.Is(l.Err(), ErrUnlocked) {
			e.Error(l.Err())
		}
	})
}

// TestTryBehindReleasing tries while what this process had is being given back: it waits
// for that, however slow Redis is, but for one attempt only.
func TestTryBehindReleasing(t *testing.T) {
	for name, how := range map[string]fault{"slow": fine, "away": lostRequest} {
		inBubble(t, func(e *env) {
			m, s := e.process()
			held := e.take(m, params(time.Minute))
			s.takes(time.Second)
			s.always(how)
			s.lag = func(time.Duration) time.Duration { return time.Second }
			released := make(chan error)
			go func() { released <- held.Release() }()
			synctest.Wait() // the release is under way
			for range 10 {
				start, p, l := time.Now(), params(10*time.Second), new(Lease)
				p.Try = true
				switch err := l.Acquire(e.Context(), m, &p); {
				case name == "slow" && err == nil:
					e.within("a try returns", start, 4*time.Second) // the release, and its own request
					l.Release()
				case name == "away" && errors.Is(err, errNetwork):
					e.within("a try returns", start, 2*time.Second)
				default:
					e.Errorf("with Redis %s a try returns %v", name, err)
				}
				time.Sleep(10 * ms) // the release pauses, if it has failed
			}
			s.always(fine)
			<-released
		})
	}
}

// TestTryQueuesNot has a process that hears try a lock that is held: that is one
// request, and leaves no entry to which the lock could be handed.
func TestTryQueuesNot(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		e.take(k1, params(time.Minute))
		k2.AddUser()
		k2.Subscribe()
		time.Sleep(time.Millisecond)
		if !k2.Subscribed() {
			e.Fatal("it does not hear")
		}
		s2.travels(0, 0, time.Second) // a second request would be late
		p := params(time.Minute)
		p.Try = true
		if err := new(Lease).Acquire(e.Context(), k2, &p); !errors.Is(err, ErrLocked) {
			e.Error(err)
		}
		if n := len(e.redis.key("key").queue); n != 0 {
			e.Errorf("%d are in the queue", n)
		}
		k2.RemoveUser()
	})
}

// TestYieldLost loses the request by which a process yields to others, and then
// its waiters give up: the token that was to be given up must not keep the lock.
func TestYieldLost(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		l := e.take(m, params(time.Minute))
		ctx, cancel := context.WithCancel(e.Context())
		_, got := e.want(ctx, m, params(time.Minute))
		time.Sleep(2 * MinSlice)
		s.always(lostRequest)
		l.Release()
		time.Sleep(time.Second)
		cancel()
		<-got
		s.always(fine)
		time.Sleep(5 * time.Second)
		if e.owner() != "" {
			e.Errorf("the lock is held by %q, though nobody wants it any more", e.owner())
		}
	})
}

// TestUnknownTokenIsReleased hands the lock to a token that nobody here knows, as
// happens when a request is executed after its claim has ended.
func TestUnknownTokenIsReleased(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		held := e.take(k1, params(time.Minute))
		_, got := e.want(e.Context(), k2, params(time.Minute)) // so that it hears
		time.Sleep(time.Second)
		e.redis.mu.Lock()
		key := e.redis.key("key")
		ghost := &fakeMutexWaiter{token: "ghost", channel: k2.Channel(), seq: 1, handoverTTL: time.Minute, seen: time.Now()}
		key.queue = append([]*fakeMutexWaiter{ghost}, key.queue...)
		e.redis.mu.Unlock()
		start := time.Now()
		held.Release()
		<-got
		e.within("the ghost is out of the way", start, 10*time.Millisecond)
	})
}

// TestQueueAwaitsSubscription has a process enter the queue when it hears, so that
// no hand-over's message is lost, or when it has been patient for long enough.
func TestQueueAwaitsSubscription(t *testing.T) {
	for _, hears := range []time.Duration{client.SubscribeTimeout / 2, 2 * client.SubscribeTimeout} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			s2.subscribe = func(ctx context.Context) *fakeStore {
				select {
				case <-time.After(hears):
					return s2
				case <-ctx.Done():
					return nil
				}
			}
			held := e.take(k1, params(time.Minute))
			_, got := e.want(e.Context(), k2, params(time.Minute))
			queued := func() int {
				e.redis.mu.Lock()
				defer e.redis.mu.Unlock()
				return len(e.redis.key("key").queue)
			}
			time.Sleep(min(hears, client.SubscribeTimeout) - time.Millisecond)
			if n := queued(); n != 0 {
				e.Errorf("%d are in the queue when nothing is heard yet", n)
			}
			time.Sleep(2 * time.Millisecond)
			if n := queued(); n != 1 {
				e.Errorf("%d are in the queue, want 1", n)
			}
			held.Release()
			<-got
		})
	}
}

// TestResubscribed loses a message with the subscription: the claim asks as soon
// as it hears again, and does not wait for its poll.
func TestResubscribed(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, s2 := e.process()
		held := e.take(k1, params(time.Minute))
		_, got := e.want(e.Context(), k2, params(time.Minute))
		time.Sleep(MaxPollInterval + 50*time.Millisecond) // just after a poll
		s1.tells(-1)
		start := time.Now()
		s2.disconnect <- struct{}{}
		held.Release()
		<-got
		e.within("the lock is found", start, 250*time.Millisecond)
	})
}

// TestSubscriptionToOldMaster has the first subscription of a process be to a server on
// which nobody publishes, and which is well: it is replaced when a few hand-overs have
// been found by polls.
func TestSubscriptionToOldMaster(t *testing.T) {
	for name, p := range map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1)} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			s2.subscribeToAnother(1)
			for i := range 2 * client.MinMissedLimit {
				held := e.take(k1, p)
				l, got := e.want(e.Context(), k2, p)
				time.Sleep(MaxPollInterval) // it waits in line
				bound := ms
				if i < client.MinMissedLimit {
					bound += MaxPollInterval
				}
				held.Release()
				e.gets(fmt.Sprint(name, ", hand-over ", i), got, bound)
				l.Release()
			}
		})
	}
}

// TestNothingPublished has nobody publish on any server: the subscription is replaced ever
// more seldom.
func TestNothingPublished(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		subscriptions := s2.subscribeToAnother(1000)
		for range 50 {
			held := e.take(k1, params(time.Minute))
			l, got := e.want(e.Context(), k2, params(time.Minute))
			time.Sleep(MaxPollInterval)
			held.Release()
			e.gets("who waits", got, MaxPollInterval+ms)
			l.Release()
		}
		if n := subscriptions(); n != 5 { // after 3, 6, 12, and 24 more
			e.Errorf("there were %d subscriptions, want 5", n)
		}
	})
}

// subscribeToAnother has the first n subscriptions be to another server, and returns a function that
// counts the subscriptions.
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

// TestMessageLost leaves it to the poll.
func TestMessageLost(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, _ := e.process()
		held := e.take(k1, params(time.Minute))
		_, got := e.want(e.Context(), k2, params(time.Minute))
		time.Sleep(time.Second)
		s1.tells(-1)
		start := time.Now()
		held.Release()
		<-got
		e.within("the lock is found", start, MaxPollInterval+time.Millisecond)
	})
}

// TestDeadOwner and the dead waiter before us cost what they may.
func TestDeadOwner(t *testing.T) {
	inBubble(t, func(e *env) {
		e.redis.mu.Lock()
		key := e.redis.key("key")
		key.grant("dead", 10*time.Second)
		key.queue = []*fakeMutexWaiter{{token: "dead too", seq: 1, handoverTTL: 3 * MaxPollInterval, seen: time.Now()}}
		e.redis.mu.Unlock()
		m, _ := e.process()
		start := time.Now()
		e.take(m, params(10*time.Second))
		e.within("the lock is found", start, 10*time.Second+10*time.Millisecond)
	})
}

// TestLateClock looks at a lease whose window has passed, before any timer has
// run: it must not be called held, released or handed on.
func TestLateClock(t *testing.T) {
	for name, look := range map[string]func(*Lease) error{
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
	} {
		inBubble(t, func(e *env) {
			m, _ := e.process()
			l := e.take(m, params(10*time.Second))
			l.queue.mu.Lock()
			l.claim.hold.window = client.NewTrustWindow(time.Now().Add(-time.Minute), 10*time.Second) // the machine was suspended
			l.queue.mu.Unlock()
			start := time.Now()
			if err := look(l); !errors.Is(err, ErrLost) {
				e.Errorf("%s says %v", name, err)
			}
			e.within(name+" answers", start, 0)
		})
	}
}

// TestFencesAcrossBlocks takes more leases than a claim has fences.
func TestFencesAcrossBlocks(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		const n = 3*FencesPerGrant + 10
		leases, done := make([]Lease, n), make(chan int64, n)
		first := e.take(m, params(10*time.Second))
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
