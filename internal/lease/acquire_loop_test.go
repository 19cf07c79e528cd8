package lease

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
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
			l.AcquireChan(e.Context(), k2, &p, result.NewChan(result.ErrorOnly{}))
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
		if n := runtime.NumGoroutine() - before; n > 9 { // 4 idle workers among them
			e.Errorf("to wait for %d keys takes %d goroutines", keys, n)
		}
	})
}

// TestPollStuck has a poll hang on a dead connection, longer than an entry in the queue
// lives that nobody refreshes: the process keeps its place, and hears of the hand-over.
func TestPollStuck(t *testing.T) {
	for name, p := range map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1)} {
		inBubble(t, func(e *env) {
			k1, _ := e.process()
			k2, s2 := e.process()
			k3, _ := e.process()
			held := e.take(k1, p)
			_, second := e.want(e.Context(), k2, p)
			time.Sleep(MaxPollInterval)
			_, third := e.want(e.Context(), k3, p)
			s2.travels(5*time.Second, 50*time.Microsecond, 50*time.Microsecond)
			time.Sleep(MaxPollInterval + WaiterTTL + ms)
			e.waits(name+": who is next", second)
			held.Release()
			e.gets(name+": who is next", second, ms)
			e.waits(name+": who came later", third)
			e.leases[1].Release()
			e.gets(name+": who came later", third, ms)
		})
	}
}

// TestPollsStuck has no poll answered at all: no more than a few are under way.
func TestPollsStuck(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		held := e.take(k1, params(10*time.Minute))
		_, got := e.want(e.Context(), k2, params(10*time.Minute))
		time.Sleep(time.Second)
		before := runtime.NumGoroutine()
		s2.takes(2 * time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 4 {
			e.Errorf("%d goroutines more than before wait for answers to polls", n)
		}
		s2.takes(0)
		held.Release()
		e.gets("who waits", got, 5*time.Minute)
	})
}
