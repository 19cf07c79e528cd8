package lease

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestInlineRequestCostsNoGoroutine has a process wait for many keys, the holders of which
// keep them: it asks again and again, and no goroutine stands by for that.
func TestInlineRequestCostsNoGoroutine(t *testing.T) {
	inBubble(t, func(e *env) {
		const keys = 300
		k1, _ := e.process()
		k2, s2 := e.process()
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
			if err := l.Acquire(e.Context(), k1, &p); err != nil {
				e.Fatal(err)
			}
			e.leases = append(e.leases, l)
		})
		before := runtime.NumGoroutine()
		each(func(p Params) {
			l := new(Lease)
			l.AcquireChan(e.Context(), k2, &p, NewChan(ErrorOnly{}))
			e.leases = append(e.leases, l)
		})
		time.Sleep(5 * MaxPollInterval)
		synctest.Wait()
		asked.Store(0)
		time.Sleep(5 * MaxPollInterval)
		synctest.Wait()
		if n := asked.Load(); n < 3*4*keys { // each is sent, run, and replied to
			e.Errorf("%d requests in five times the poll bound, for %d keys", n/3, keys)
		}
		if n := runtime.NumGoroutine() - before; n > 5+maxIdleWorkers {
			e.Errorf("to wait for %d keys takes %d goroutines", keys, n)
		}
	})
}
