package lease

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// oneByOne returns a switch. Once it is on, the server executes one request at a time, each for that
// long. It pauses before each 500th request.
func (s *fakeStore) oneByOne(each, pause time.Duration) *atomic.Bool {
	var on atomic.Bool
	var mu sync.Mutex
	free, n := time.Now(), 0
	s.point = func(what string) fault {
		if on.Load() && strings.HasPrefix(what, "send ") {
			mu.Lock()
			if now := time.Now(); free.Before(now) {
				free = now
			}
			if free, n = free.Add(each), n+1; n%500 == 0 {
				free = free.Add(pause)
			}
			wait := time.Until(free)
			mu.Unlock()
			time.Sleep(wait)
		}
		return fine
	}
	return &on
}

// TestGiveUpManyAtOnce cancels the waits for thousands of keys. Once all results are received,
// Redis must have no waiter, because the program may exit then. The server needs 0.6 s and pauses.
func TestGiveUpManyAtOnce(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		busy := s2.oneByOne(100*time.Microsecond, 50*ms)
		keys := keysNumbered(3000)
		ctx, cancel := context.WithCancel(e.Context())
		var results []<-chan error
		p := params(time.Hour)
		for _, p.Key = range keys {
			e.acquire(m1, p)
			_, got := e.request(ctx, m2, p)
			results = append(results, got)
		}
		waiting := func() (n int) {
			for _, key := range keys {
				n += e.waiters(key)
			}
			return n
		}
		time.Sleep(time.Second)
		equal(e, "waiters in the queues", waiting(), len(keys))
		busy.Store(true)
		cancel()
		start := time.Now()
		for _, got := range results {
			e.checkError("a wait", <-got, context.Canceled)
		}
		equal(e, "waiters after all results", waiting(), 0)
		e.checkWithin("the last result", start, retry.MaxResultTimeout)
	})
}

// TestGiveUpWhileLate waits briefly in a process that gets no processor time. The wait must not end
// because of that, as Redis is not to blame.
func TestGiveUpWhileLate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var b retry.Backlog
	start := time.Now()
	confirmed := make(chan struct{})
	go func() {
		runtime.Gosched()               // the time slice inherited from its creator could end within 5 ms
		for time.Since(start) < 40*ms { // the scheduler preempts it every 10 ms
		}
		close(confirmed)
	}()
	b.WaitBriefly(confirmed, retry.MaxCancelTimeout)
	select {
	case <-confirmed:
	default:
		if took := time.Since(start); took < retry.MaxCancelTimeout {
			t.Errorf("gave up after %v", took)
		}
	}
}

// TestMultiLeaseGivesUpManyKeys ends the ctx of a request for many keys while it is in flight. That
// starts one goroutine for each key, and the call does not wait for them.
func TestMultiLeaseGivesUpManyKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		const n = 1000
		keys := keysNumbered(n)
		s.setLatency(80 * ms)
		ctx, cancel := context.WithCancel(e.Context())
		before := redistest.Goroutines()
		done := make(chan error)
		go func() { done <- new(MultiLease).Acquire(ctx, m, params(time.Minute), keys) }()
		time.Sleep(10 * ms)
		start := time.Now()
		cancel()
		synctest.Wait()
		if started := redistest.Goroutines() - before; started > n+n/10 {
			e.Errorf("the end of ctx starts %d goroutines for %d keys", started, n)
		}
		e.checkError("Acquire", <-done, context.Canceled)
		e.checkWithin("the call returns", start, retry.CancelTimeout)
		time.Sleep(time.Second)
		for _, key := range keys {
			e.checkUsedAt(Name{Kind: Mutex, Key: key}, 0)
		}
	})
}

// TestMultiLeaseGivesUpWhileReleasing ends the ctx of a request for several keys. The request is
// releasing the keys behind the one that it waits for, and Redis does not reply.
func TestMultiLeaseGivesUpWhileReleasing(t *testing.T) {
	inBubble(t, func(e *env) {
		m1, _, m2, s2 := e.twoProcesses()
		p := params(time.Minute)
		p.Key = "b"
		e.acquire(m1, p)
		s2.point = func(what string) fault {
			if what == "send release" {
				time.Sleep(10 * time.Second)
			}
			return fine
		}
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := new(MultiLease).Acquire(ctx, m2, p, []string{"a", "b", "c"})
		e.checkError("Acquire", err, context.DeadlineExceeded)
		e.checkWithin("the call returns", start, time.Second+2*retry.CancelTimeout)
	})
}
