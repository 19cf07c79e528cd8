package lease

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAskCostsNoGoroutine has a process wait for many keys, the holders of which
// keep them: it asks again and again, and no goroutine stands by for that.
func TestAskCostsNoGoroutine(t *testing.T) {
	inBubble(t, func(b *bench) {
		const keys = 300
		k1, _ := b.process()
		k2, s2 := b.process()
		var asked atomic.Int64
		s2.change(func() { s2.point = func(string) fault { asked.Add(1); return fine } })
		each := func(do func(p Params)) {
			for i := range keys {
				p := params(time.Minute)
				p.Key = fmt.Sprint("key", i)
				do(p)
			}
		}
		each(func(p Params) {
			l := new(Lease)
			if err := l.Acquire(b.Context(), k1, &p); err != nil {
				b.Fatal(err)
			}
			b.leases = append(b.leases, l)
		})
		before := runtime.NumGoroutine()
		each(func(p Params) {
			l := new(Lease)
			l.AcquireChan(b.Context(), k2, &p, NewBox(Bare{}))
			b.leases = append(b.leases, l)
		})
		time.Sleep(5 * PollBound)
		synctest.Wait()
		asked.Store(0)
		time.Sleep(5 * PollBound)
		synctest.Wait()
		if n := asked.Load(); n < 3*4*keys { // each is sent, run, and replied to
			b.Errorf("%d requests in five times the poll bound, for %d keys", n/3, keys)
		}
		if n := runtime.NumGoroutine() - before; n > 5+atHand {
			b.Errorf("to wait for %d keys takes %d goroutines", keys, n)
		}
	})
}
