package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// bench is one fake Redis and the processes at it, in a bubble.
type bench struct {
	*testing.T
	redis  *fakeRedis
	leases []*Lease
}

func inBubble(t *testing.T, f func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, redis: newFakeRedis()}
		f(b)
		for _, l := range b.leases {
			l.Release()
		}
		time.Sleep(time.Minute) // whatever lingers ends; what does not, the bubble reports
	})
}

func (b *bench) process() (*Keeper, *fakeStore) {
	s := newFakeStore(b.redis)
	return NewKeeper(s), s
}

func params(ttl time.Duration) Params {
	return Params{Kind: Mutex, Key: "key", TTL: ttl, Weight: 1}
}

func (b *bench) acquire(k *Keeper, ttl time.Duration) *Lease {
	b.Helper()
	l := new(Lease)
	if err := l.Acquire(b.Context(), k, new(params(ttl))); err != nil {
		b.Fatal(err)
	}
	b.leases = append(b.leases, l)
	return l
}

// ask requests a lease and returns a channel that yields when it is there.
func (b *bench) ask(ctx context.Context, k *Keeper, ttl time.Duration) (*Lease, <-chan error) {
	l, box := new(Lease), NewBox(Bare{})
	l.AcquireChan(ctx, k, new(params(ttl)), box)
	b.leases = append(b.leases, l)
	return l, box.C()
}

func (b *bench) owner() string {
	b.redis.mu.Lock()
	defer b.redis.mu.Unlock()
	return b.redis.key("key").owner
}

func (b *bench) within(what string, start time.Time, bound time.Duration) {
	b.Helper()
	if got := time.Since(start); got > bound {
		b.Errorf("%s after %v, want at most %v", what, got, bound)
	}
}

// TestWindowCountsFromSending slows the network down: the hold must end by the
// time of the request, not of the reply, for Redis counts from in between.
func TestWindowCountsFromSending(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		s.change(func() { s.latency = func() time.Duration { return 300 * time.Millisecond } })
		start := time.Now()
		l := b.acquire(k, time.Second)
		s.fault = func() fault { return lostRequest } // no renewal gets through
		<-l.Done()
		b.within("a grant's loss is told", start, time.Second)
	})
	inBubble(t, func(b *bench) {
		k, s := b.process()
		l := b.acquire(k, time.Second)
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
		b.within("a renewal's loss is told", sent, time.Second)
	})
}

// TestMessageWithUnknownNumber delivers a message that echoes a request which was
// never sent, or long ago, while another holds the lock: it must not be believed.
func TestMessageWithUnknownNumber(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		held := b.acquire(k1, 10*time.Second)
		_, got := b.ask(b.Context(), k2, 10*time.Second)
		time.Sleep(20 * time.Second) // many requests later
		line := k2.lines.M[Name{Mutex, "key"}]
		line.mu.Lock()
		c, last := line.claim, line.claim.n
		line.mu.Unlock()
		for _, n := range []int64{0, 1, last + 100, -1} {
			(&hearing{k2, b.Context()}).Heard(Handover{Name: Name{Mutex, "key"}, Token: c.token, N: n, Base: 1, Weight: 1})
			synctest.Wait()
		}
		select {
		case <-got:
			b.Fatal("let in while another holds the lock")
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
		"stuck": func(s *fakeStore) { s.latency = func() time.Duration { return time.Minute } },
		"lost":  func(s *fakeStore) { s.fault = func() fault { return lostRequest } },
	} {
		inBubble(t, func(b *bench) {
			k1, s1 := b.process()
			k2, s2 := b.process()
			k3, _ := b.process()
			held := b.acquire(k1, 10*time.Second)
			_, got := b.ask(b.Context(), k2, 10*time.Second)
			time.Sleep(time.Second) // it is in line, and hears
			s1.change(func() { s1.message = func() (int, time.Duration) { return 1, 5 * time.Second } })
			s2.change(func() { cut(s2) }) // else it would find out by asking
			held.Release()
			start := time.Now()
			other := b.acquire(k3, 10*time.Second)
			b.within("the lock has run out", start, 3*PollBound+10*time.Millisecond)
			time.Sleep(5 * time.Second) // the message has come
			select {
			case <-got:
				b.Fatalf("%s: let in while another holds the lock", name)
			default:
			}
			if other.Err() != nil {
				b.Error(other.Err())
			}
			s2.change(func() { s2.fault, s2.latency = func() fault { return fine }, func() time.Duration { return 0 } })
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
		inBubble(t, func(b *bench) {
			k, s := b.process()
			calls := 0
			s.latency = func() time.Duration {
				if calls++; calls == 1 {
					return latency
				}
				return 50 * time.Microsecond
			}
			ctx, cancel := context.WithTimeout(b.Context(), 100*time.Microsecond)
			defer cancel()
			start := time.Now()
			err := new(Lease).Acquire(ctx, k, new(params(10*time.Second)))
			if !errors.Is(err, context.DeadlineExceeded) {
				b.Error(err)
			}
			b.within("a cancelled call returns", start, 6*time.Millisecond)
			if latency < courtesy && (b.owner() != "" || b.redis.asks != 1) {
				b.Errorf("the lock is still held by %q when the call has returned", b.owner())
			}
			time.Sleep(2*latency + 10*time.Millisecond)
			if b.owner() != "" {
				b.Errorf("the lock is held by %q, though nobody wants it any more", b.owner())
			}
		})
	}
}

// TestReleaseReplyLost repeats the release, which then finds nothing to release:
// that is no loss.
func TestReleaseReplyLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		l := b.acquire(k, 10*time.Second)
		faults := []fault{lostReply, lostReply}
		s.change(func() {
			s.fault = func() (f fault) {
				if len(faults) > 0 {
					f, faults = faults[0], faults[1:]
				}
				return f
			}
		})
		if err := l.Release(); err != nil {
			b.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseAndLateAnswer has the answer to a poll come while the release of the
// same claim is under way: what undoes the poll must not take the release's
// answer from it, which would then look like a loss.
func TestReleaseAndLateAnswer(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, s := b.process()
		held := b.acquire(k1, 10*time.Second)
		l, got := b.ask(b.Context(), k2, 10*time.Second)
		time.Sleep(100 * time.Millisecond)
		const ms = time.Millisecond
		travel := []time.Duration{1 * ms, 20 * ms /* the poll */, 30 * ms, 0 /* the release */, 0, 0}
		s.change(func() {
			s.latency = func() time.Duration {
				next := travel[0]
				travel = append(travel[1:], 0)
				return next
			}
		})
		line := k2.lines.M[Name{Mutex, "key"}]
		line.mu.Lock()
		line.claim.wake()
		line.mu.Unlock()
		time.Sleep(5 * ms)
		held.Release()
		<-got
		if err := l.Release(); err != nil {
			b.Errorf("Release: %v", err)
		}
	})
}

// TestReleaseUnconfirmed cannot reach Redis until the lease has run out: the
// error is Redis', not a loss, for nobody else was let in meanwhile.
func TestReleaseUnconfirmed(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		l := b.acquire(k, time.Second)
		s.change(func() { s.fault = func() fault { return lostRequest } })
		start := time.Now()
		err := l.Release()
		if !errors.Is(err, errNetwork) && !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrLost) {
			b.Errorf("Release: %v", err)
		}
		b.within("Release gives up", start, time.Second)
		if l.Err() != ErrReleased {
			b.Error(l.Err())
		}
	})
}

// TestReleaseUnconfirmedWhy gets an error from Redis, and then no answer until the
// lease has run out: the error says why.
func TestReleaseUnconfirmedWhy(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		l := b.acquire(k, s.Patience()/2) // an attempt is not waited for to its end
		s.change(func() {
			s.lag = func(time.Duration) time.Duration { return 0 }
			s.fault = func() fault {
				s.latency = func() time.Duration { return time.Minute }
				return lostRequest
			}
		})
		if err := l.Release(); !errors.Is(err, errNetwork) {
			b.Errorf("Release: %v", err)
		}
	})
}

// TestTryBehindLeaving tries while what this process had is being given back: it waits
// for that, however slow Redis is, but for one attempt only.
func TestTryBehindLeaving(t *testing.T) {
	for name, how := range map[string]fault{"slow": fine, "away": lostRequest} {
		inBubble(t, func(b *bench) {
			k, s := b.process()
			held := b.acquire(k, time.Minute)
			s.change(func() {
				s.latency, s.fault = func() time.Duration { return time.Second }, func() fault { return how }
				s.lag = func(time.Duration) time.Duration { return time.Second }
			})
			released := make(chan error)
			go func() { released <- held.Release() }()
			synctest.Wait() // the release is under way
			for range 10 {
				start, p, l := time.Now(), params(10*time.Second), new(Lease)
				p.Try = true
				switch err := l.Acquire(b.Context(), k, &p); {
				case name == "slow" && err == nil:
					b.within("a try returns", start, 4*time.Second) // the release, and its own request
					l.Release()
				case name == "away" && errors.Is(err, errNetwork):
					b.within("a try returns", start, 2*time.Second)
				default:
					b.Errorf("with Redis %s a try returns %v", name, err)
				}
				time.Sleep(10 * ms) // the release pauses, if it has failed
			}
			s.change(func() { s.fault = func() fault { return fine } })
			<-released
		})
	}
}

// TestTryQueuesNot has a process that hears try a lock that is held: that is one
// request, and leaves no entry to which the lock could be handed.
func TestTryQueuesNot(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, s2 := b.process()
		b.acquire(k1, time.Minute)
		k2.listen(nil)
		time.Sleep(time.Millisecond)
		if !k2.hears() {
			b.Fatal("it does not hear")
		}
		s2.travels(0, 0, time.Second) // a second request would be late
		p := params(time.Minute)
		p.Try = true
		if err := new(Lease).Acquire(b.Context(), k2, &p); err != ErrLocked {
			b.Error(err)
		}
		if n := len(b.redis.key("key").queue); n != 0 {
			b.Errorf("%d are in the queue", n)
		}
		k2.mu.Lock()
		k2.rest()
		k2.mu.Unlock()
	})
}

// TestYieldLost loses the request by which a process yields to others, and then
// its waiters give up: the token that was to be given up must not keep the lock.
func TestYieldLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, s := b.process()
		l := b.acquire(k, time.Minute)
		ctx, cancel := context.WithCancel(b.Context())
		_, got := b.ask(ctx, k, time.Minute)
		time.Sleep(2 * Quantum)
		s.change(func() { s.fault = func() fault { return lostRequest } })
		l.Release()
		time.Sleep(time.Second)
		cancel()
		<-got
		s.change(func() { s.fault = func() fault { return fine } })
		time.Sleep(5 * time.Second)
		if b.owner() != "" {
			b.Errorf("the lock is held by %q, though nobody wants it any more", b.owner())
		}
	})
}

// TestStrangerIsGivenBack hands the lock to a token that nobody here knows, as
// happens when a request is executed after its claim has ended.
func TestStrangerIsGivenBack(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, _ := b.process()
		k2, _ := b.process()
		held := b.acquire(k1, time.Minute)
		_, got := b.ask(b.Context(), k2, time.Minute) // so that it hears
		time.Sleep(time.Second)
		b.redis.mu.Lock()
		key := b.redis.key("key")
		ghost := &fakeEntry{token: "ghost", channel: k2.channel, n: 1, grant: time.Minute, seen: time.Now()}
		key.queue = append([]*fakeEntry{ghost}, key.queue...)
		b.redis.mu.Unlock()
		start := time.Now()
		held.Release()
		<-got
		b.within("the ghost is out of the way", start, 10*time.Millisecond)
	})
}

// TestQueueAwaitsSubscription has a process enter the queue when it hears, so that
// no hand-over's message is lost, or when it has been patient for long enough.
func TestQueueAwaitsSubscription(t *testing.T) {
	for _, hears := range []time.Duration{patience / 2, 2 * patience} {
		inBubble(t, func(b *bench) {
			k1, _ := b.process()
			k2, s2 := b.process()
			k2.store = hearsLate{s2, hears}
			held := b.acquire(k1, time.Minute)
			_, got := b.ask(b.Context(), k2, time.Minute)
			queued := func() int {
				b.redis.mu.Lock()
				defer b.redis.mu.Unlock()
				return len(b.redis.key("key").queue)
			}
			time.Sleep(min(hears, patience) - time.Millisecond)
			if n := queued(); n != 0 {
				b.Errorf("%d are in the queue when nothing is heard yet", n)
			}
			time.Sleep(2 * time.Millisecond)
			if n := queued(); n != 1 {
				b.Errorf("%d are in the queue, want 1", n)
			}
			held.Release()
			<-got
		})
	}
}

// hearsLate hears after a while only.
type hearsLate struct {
	Store
	after time.Duration
}

func (s hearsLate) Listen(ctx context.Context, l Listener) {
	select {
	case <-time.After(s.after):
		s.Store.Listen(ctx, l)
	case <-ctx.Done():
	}
}

// TestResubscribed loses a message with the subscription: the claim asks as soon
// as it hears again, and does not wait for its poll.
func TestResubscribed(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, s2 := b.process()
		held := b.acquire(k1, time.Minute)
		_, got := b.ask(b.Context(), k2, time.Minute)
		time.Sleep(PollBound + 50*time.Millisecond) // just after a poll
		s1.change(func() { s1.message = func() (int, time.Duration) { return 0, 0 } })
		start := time.Now()
		s2.deafen <- struct{}{}
		held.Release()
		<-got
		b.within("the lock is found", start, 250*time.Millisecond)
	})
}

// TestMessageLost leaves it to the poll.
func TestMessageLost(t *testing.T) {
	inBubble(t, func(b *bench) {
		k1, s1 := b.process()
		k2, _ := b.process()
		held := b.acquire(k1, time.Minute)
		_, got := b.ask(b.Context(), k2, time.Minute)
		time.Sleep(time.Second)
		s1.change(func() { s1.message = func() (int, time.Duration) { return 0, 0 } })
		start := time.Now()
		held.Release()
		<-got
		b.within("the lock is found", start, PollBound+time.Millisecond)
	})
}

// TestDeadOwner and the dead waiter before us cost what they may.
func TestDeadOwner(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.redis.mu.Lock()
		key := b.redis.key("key")
		key.grant("dead", 10*time.Second)
		key.queue = []*fakeEntry{{token: "dead too", n: 1, grant: 3 * PollBound, seen: time.Now()}}
		b.redis.mu.Unlock()
		k, _ := b.process()
		start := time.Now()
		b.acquire(k, 10*time.Second)
		b.within("the lock is found", start, 10*time.Second+10*time.Millisecond)
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
		inBubble(t, func(b *bench) {
			k, _ := b.process()
			l := b.acquire(k, 10*time.Second)
			l.line.mu.Lock()
			l.claim.trust.wall -= int64(time.Minute) // the machine was suspended
			l.line.mu.Unlock()
			start := time.Now()
			if err := look(l); err != ErrLost {
				b.Errorf("%s says %v", name, err)
			}
			b.within(name+" answers", start, 0)
		})
	}
}

// TestFencesAcrossBlocks takes more leases than a claim has fences.
func TestFencesAcrossBlocks(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		const n = 3*Block + 10
		leases, done := make([]Lease, n), make(chan int64, n)
		first := b.acquire(k, 10*time.Second)
		for i := range leases {
			go func() {
				if err := leases[i].Acquire(b.Context(), k, new(params(10*time.Second))); err != nil {
					b.Error(err)
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
				b.Fatalf("fence %d after %d", fence, last)
			}
			last = fence
		}
		if b.redis.asks < 4 {
			b.Errorf("%d leases from %d requests", n, b.redis.asks)
		}
	})
}

// TestPermanent tells all who wait, at once, and leaves nothing.
func TestPermanent(t *testing.T) {
	inBubble(t, func(b *bench) {
		k, _ := b.process()
		no := errors.New("no rights")
		k.store = refusing{k.store, Permanent(fmt.Errorf("refused: %w", no))}
		_, one := b.ask(b.Context(), k, time.Second)
		_, two := b.ask(b.Context(), k, time.Second)
		for _, c := range []<-chan error{one, two} {
			if err := <-c; !errors.Is(err, no) || !IsPermanent(err) {
				b.Error(err)
			}
		}
	})
}

type refusing struct {
	Store
	err error
}

func (r refusing) Ask(context.Context, Request) (Reply, error) { return Reply{}, r.err }
