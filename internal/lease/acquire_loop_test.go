package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestInlineRequestCostsNoGoroutine waits for many held keys. The process polls for each of them
// without a goroutine per key.
func TestInlineRequestCostsNoGoroutine(t *testing.T) {
	inBubble(t, func(e *env) {
		const keys = 300
		m1, _, m2, s2 := e.twoProcesses()
		var points atomic.Int64
		s2.change(func() { s2.point = func(string) fault { points.Add(1); return fine } })
		p := params(time.Minute)
		for _, p.Key = range keysNumbered(keys) {
			e.acquire(m1, p)
		}
		before := redistest.Goroutines()
		for _, p.Key = range keysNumbered(keys) {
			e.request(e.Context(), m2, p)
		}
		time.Sleep(5 * MaxPollInterval)
		synctest.Wait()
		points.Store(0)
		time.Sleep(5 * MaxPollInterval)
		synctest.Wait()
		if n := points.Load(); n < 2*4*keys { // two for each request
			e.Errorf("%d requests for %d keys in five poll intervals", n/2, keys)
		}
		if n := redistest.Goroutines() - before; n > 9 { // including 4 idle workers
			e.Errorf("%d goroutines wait for %d keys", n, keys)
		}
	})
}

// TestPollStuck sends a poll on a dead connection, where it hangs for longer than WaiterTTL. The
// process keeps its place in the queue, and receives the hand-over message.
func TestPollStuck(t *testing.T) {
	inBubbles(t, map[string]Params{"mutex": params(time.Minute), "semaphore": taking(1, 1)}, func(e *env, p Params) {
		m1, _, m2, s2 := e.twoProcesses()
		m3, _ := e.process()
		held := e.acquire(m1, p)
		_, second := e.request(e.Context(), m2, p)
		time.Sleep(MaxPollInterval)
		_, third := e.request(e.Context(), m3, p)
		s2.nextLatencies(5*time.Second, 50*time.Microsecond, 50*time.Microsecond)
		time.Sleep(MaxPollInterval + WaiterTTL + ms)
		e.checkWaits("the second waiter", second)
		held.Release()
		e.checkGranted("the second waiter", second, ms)
		e.checkWaits("the third", third)
		e.leases[1].Release()
		e.checkGranted("the third", third, ms)
	})
}

// TestPollsStuck delays the replies to all polls. Only a few polls may be in flight.
func TestPollsStuck(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		held := e.acquire(m1, params(10*time.Minute))
		_, got := e.request(e.Context(), m2, params(10*time.Minute))
		time.Sleep(time.Second)
		var sent atomic.Int64
		s2.setLatency(2 * time.Minute)
		s2.change(func() { s2.point = func(string) fault { sent.Add(1); return fine } })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := sent.Load(); n == 0 || n > 4 {
			e.Errorf("%d polls wait for replies", n)
		}
		s2.setLatency(0)
		held.Release()
		e.checkGranted("the waiter", got, 5*time.Minute)
	})
}

// hastyStore expects prompt replies, and gets none.
type hastyStore struct{ *fakeStore }

func (s hastyStore) IsPrompt(Name) bool { return true }

func (s hastyStore) Acquire(ctx context.Context, r Request) (Reply, error) {
	if r.Prompt {
		return Reply{}, retry.ErrNoAnswer
	}
	return s.fakeStore.Acquire(ctx, r)
}

// TestRequestWithoutAPromptReply gets no prompt reply. Another goroutine sends the request again at once,
// and the call can be canceled. Nothing stays in Redis.
func TestRequestWithoutAPromptReply(t *testing.T) {
	inBubble(t, func(e *env) {
		s := hastyStore{newFakeStore(e.redis)}
		m := NewManager(s)
		p := params(time.Hour)
		start := time.Now()
		l := e.acquire(m, p)
		e.checkWithin("the lock", start, ms) // without a pause
		if err := l.Release(); err != nil {
			e.Error(err)
		}
		s.setLatency(time.Minute)
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := new(Lease).Acquire(ctx, m, &p); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("Acquire returns %v", err)
		}
		e.checkWithin("the call", start, time.Second+2*retry.CancelTimeout)
		s.setLatency(0)
		time.Sleep(10 * time.Minute)
		e.checkUsed(Mutex, 0)
	})
}
