package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

const ms = time.Millisecond

// TestRenewalOfEarlierHold has the answer to a renewal come late, that of a hold
// which has been given back since: it says nothing about the next one.
func TestRenewalOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, _ := e.process()
		held := e.take(k1, taking(1, 1))
		other, got2 := e.want(e.Context(), k2, taking(1, 1))
		time.Sleep(time.Second)
		mine, got1 := e.want(e.Context(), k1, taking(1, 1))
		time.Sleep(MaxPollInterval / 3) // it does not ask again before the end
		s1.travels(5*ms, 0, 0, 50*ms)   // the renewal, to there; the statement and its answer; the renewal's answer
		line := claimOf(k1, Semaphore).queue
		line.mu.Lock()
		k1.mu.Lock()
		k1.RenewNow(line.claim, time.Now())
		k1.mu.Unlock()
		line.mu.Unlock()
		time.Sleep(ms)
		held.Release()
		e.gets("the other", got2, ms)
		time.Sleep(10 * ms)
		other.Release()
		e.gets("the next here", got1, ms)
		time.Sleep(100 * ms)
		if mine.Err() != nil {
			e.Error(mine.Err())
		}
		e.uses(Semaphore, 1)
	})
}

// TestShrinkingOfEarlierHold does the same with a statement that is told that what
// it keeps is gone.
func TestShrinkingOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, _ := e.process()
		s1.subscribe = func(ctx context.Context) *fakeStore { <-ctx.Done(); return nil } // so that it is some time until it queues
		one, two := e.take(k1, taking(1, 4)), e.take(k1, taking(1, 4))
		other := e.take(k2, taking(2, 4))
		s1.fails(lostRequest)
		// It is executed when the others have given up all, and wait; it is answered
		// when they have it.
		s1.travels(450*ms, 0, 0, 0, 1500*ms)
		go two.Release()
		time.Sleep(ms)
		mine, got := e.want(e.Context(), k1, taking(3, 4))
		time.Sleep(ms)
		one.Release()
		time.Sleep(500 * ms)
		e.uses(Semaphore, 2)
		other.Release()
		e.gets("the next", got, client.SubscribeTimeout)
		time.Sleep(2 * time.Second)
		if mine.Err() != nil {
			e.Error(mine.Err())
		}
		e.uses(Semaphore, 3)
	})
}

// TestWindowOfEarlierHold has the good answer to a statement come when what that
// kept has been given back: what was handed over since lasts no longer for it.
func TestWindowOfEarlierHold(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, s1 := e.process()
		k2, _ := e.process()
		one, two := e.take(k1, taking(1, 4)), e.take(k1, taking(1, 4))
		other := e.take(k2, taking(2, 4))
		s1.travels(0, time.Second)
		go two.Release()
		time.Sleep(ms)
		mine, got := e.want(e.Context(), k1, taking(3, 4))
		time.Sleep(100 * ms)
		one.Release()
		time.Sleep(100 * ms)
		other.Release()
		e.gets("the next", got, ms)
		start := time.Now()
		s1.always(lostRequest)
		<-mine.Done()
		e.within("the loss is told", start, 3*MaxPollInterval)
		s1.always(fine)
	})
}

// TestShrinkingCancelled cannot tell Redis of a permit before the release gives up,
// while renewals get through: it is told when it can be.
func TestShrinkingCancelled(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		p := taking(1, 4)
		p.TTL = time.Second
		e.take(m, p)
		freed := e.take(m, p)
		s.refuses(errNetwork)
		if err := freed.Release(); !errors.Is(err, errNetwork) {
			e.Error(err)
		}
		e.uses(Semaphore, 2)
		s.refuses(nil)
		time.Sleep(p.TTL)
		e.uses(Semaphore, 1)
	})
}

// TestWindowNeverShrinks has an old answer come after a newer one.
func TestWindowNeverShrinks(t *testing.T) {
	inBubble(t, func(e *env) {
		m, _ := e.process()
		l := e.take(m, taking(1, 2))
		l.queue.mu.Lock()
		defer l.queue.mu.Unlock()
		before := l.claim.hold.window
		l.claim.extend(client.NewTrustWindow(time.Now().Add(-time.Second), time.Minute))
		if l.claim.hold.window != before {
			e.Error("it did")
		}
	})
}

// TestJoinWhileListening has a writer begin to wait for readers whose process does
// listen, but not yet for them: who joins then finds that out for those to come.
func TestJoinWhileListening(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, _ := e.process()
		p := taking(1, 1)
		p.Key = "another"
		e.take(k1, reading(time.Minute))
		e.take(k2, p)
		e.want(e.Context(), k1, p)
		time.Sleep(time.Second)
		_, wrote := e.want(e.Context(), k2, writing(time.Minute))
		time.Sleep(2 * MinSlice)
		e.take(k1, reading(time.Minute))
		time.Sleep(ms)
		_, read := e.want(e.Context(), k1, reading(time.Minute))
		e.waits("a reader that comes after a writer", read)
		e.leases[0].Release()
		e.leases[4].Release()
		e.gets("the writer", wrote, ms)
		e.leases[3].Release()
		<-read
	})
}
