package lease

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, gate := make(chan struct{}), make(chan struct{})
		p := newWorkerPool(over)
		var called atomic.Int32
		expect := func(when string, calls, idle int32) {
			t.Helper()
			if synctest.Wait(); called.Load() != calls || p.idle.Load() != idle {
				t.Errorf("%s: %d calls and %d at hand, want %d and %d", when, called.Load(), p.idle.Load(), calls, idle)
			}
		}
		for range 3 * maxIdleWorkers {
			p.submit(func() {
				called.Add(1)
				<-gate
			})
		}
		expect("all at once", 3*maxIdleWorkers, 0)
		close(gate)
		expect("when they have returned", 3*maxIdleWorkers, maxIdleWorkers)
		p.submit(func() { called.Add(1) })
		expect("one more", 3*maxIdleWorkers+1, maxIdleWorkers)
		close(over)
		expect("when it is to go", 3*maxIdleWorkers+1, 0)
		p.submit(func() { called.Add(1) })
		expect("after that", 3*maxIdleWorkers+2, 0)
	})
}

// TestSubscriptionLingers locks and unlocks in a loop, which is to keep the subscription and
// its workers, and then rests.
func TestSubscriptionLingers(t *testing.T) {
	inBubble(t, func(e *env) {
		other, _ := e.process()
		m, _ := e.process()
		there := func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			if subscribed := m.subscription.cancel != nil; subscribed != (m.workers.Load() != nil) {
				e.Error("subscription and workers are not there at the same time")
			}
			return m.subscription.cancel != nil
		}
		l := e.acquire(other, time.Minute)
		time.AfterFunc(10*time.Millisecond, func() { l.Release() })
		e.acquire(m, time.Minute).Release()
		for range 10 {
			time.Sleep(subscriptionIdle * 2 / 3)
			if !there() {
				e.Fatal("it went while it was of use")
			}
			e.acquire(m, time.Minute).Release()
		}
		time.Sleep(subscriptionIdle - time.Nanosecond)
		if !there() {
			e.Error("it did not linger")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if there() {
			e.Error("it stays")
		}
	})
}
