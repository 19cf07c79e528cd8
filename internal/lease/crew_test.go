package lease

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, gate := make(chan struct{}), make(chan struct{})
		c := newCrew(over)
		var called atomic.Int32
		expect := func(when string, calls, idle int32) {
			t.Helper()
			if synctest.Wait(); called.Load() != calls || c.idle.Load() != idle {
				t.Errorf("%s: %d calls and %d at hand, want %d and %d", when, called.Load(), c.idle.Load(), calls, idle)
			}
		}
		for range 3 * atHand {
			c.call(func() {
				called.Add(1)
				<-gate
			})
		}
		expect("all at once", 3*atHand, 0)
		close(gate)
		expect("when they have returned", 3*atHand, atHand)
		c.call(func() { called.Add(1) })
		expect("one more", 3*atHand+1, atHand)
		close(over)
		expect("when it is to go", 3*atHand+1, 0)
		c.call(func() { called.Add(1) })
		expect("after that", 3*atHand+2, 0)
	})
}

// TestSubscriptionLingers locks and unlocks in a loop, which is to keep the subscription and
// its crew, and then rests.
func TestSubscriptionLingers(t *testing.T) {
	inBubble(t, func(b *bench) {
		other, _ := b.process()
		k, _ := b.process()
		there := func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			if subscribed := k.ear.stop != nil; subscribed != (k.crew.Load() != nil) {
				b.Error("subscription and crew are not there at the same time")
			}
			return k.ear.stop != nil
		}
		l := b.acquire(other, time.Minute)
		time.AfterFunc(10*time.Millisecond, func() { l.Release() })
		b.acquire(k, time.Minute).Release()
		for range 10 {
			time.Sleep(linger * 2 / 3)
			if !there() {
				b.Fatal("it went while it was of use")
			}
			b.acquire(k, time.Minute).Release()
		}
		time.Sleep(linger - time.Nanosecond)
		if !there() {
			b.Error("it did not linger")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if there() {
			b.Error("it stays")
		}
	})
}
