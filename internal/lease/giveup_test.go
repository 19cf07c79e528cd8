package lease

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// oneByOne returns a switch. Once it is on, a server takes that long for each request, and does
// one at a time. Before each 500th it pauses.
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

// TestGiveUpManyAtOnce gives up waiting for thousands of keys: when the results are
// there, nothing is left in Redis, for the program may exit then. The server takes 0.6 s
// for them, and gets no processor now and then.
func TestGiveUpManyAtOnce(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		busy := s2.oneByOne(100*time.Microsecond, 50*ms)
		const keys = 3000
		ctx, cancel := context.WithCancel(e.Context())
		var results []<-chan error
		for i := range keys {
			p := params(time.Hour)
			p.Key = fmt.Sprint("key", i)
			e.take(k1, p)
			_, got := e.want(ctx, k2, p)
			results = append(results, got)
		}
		waiting := func() (n int) {
			e.redis.mu.Lock()
			defer e.redis.mu.Unlock()
			for i := range keys {
				n += len(e.redis.key(fmt.Sprint("key", i)).queue)
			}
			return n
		}
		time.Sleep(time.Second)
		if n := waiting(); n != keys {
			e.Fatalf("%d are in the queues, want %d", n, keys)
		}
		busy.Store(true)
		cancel()
		start := time.Now()
		for _, got := range results {
			if err := <-got; !errors.Is(err, context.Canceled) {
				e.Error(err)
			}
		}
		if n := waiting(); n != 0 {
			e.Errorf("%d are left in the queues when all results are there", n)
		}
		e.within("all results are there", start, retry.MaxResultTimeout)
	})
}

// TestGiveUpWhileLate gives up in a process that gets no processor in time: that Redis has
// answered nothing meanwhile says nothing of Redis.
func TestGiveUpWhileLate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var b retry.Backlog
	start := time.Now()
	confirmed := make(chan struct{})
	go func() {
		runtime.Gosched()               // what it inherits of its creator's time could end within 5 ms
		for time.Since(start) < 40*ms { // the scheduler takes the processor away every 10 ms
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

// TestGroupGivesUpManyKeys ends the ctx of a request for very many keys while it is under
// way: that starts one goroutine for each key, and the call waits for none of them.
func TestGroupGivesUpManyKeys(t *testing.T) {
	inBubble(t, func(e *env) {
		s := newFakeStore(e.redis)
		m := NewManager(s)
		const n = 1000
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprint("key", i)
		}
		s.takes(80 * ms)
		ctx, cancel := context.WithCancel(e.Context())
		before := runtime.NumGoroutine()
		done := make(chan error)
		go func() { done <- new(MultiLease).Acquire(ctx, m, params(time.Minute), keys) }()
		time.Sleep(10 * ms)
		start := time.Now()
		cancel()
		synctest.Wait()
		if started := runtime.NumGoroutine() - before; started > n+n/10 {
			e.Errorf("the end of ctx has started %d goroutines for %d keys", started, n)
		}
		if err := <-done; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		e.within("the call returns", start, retry.CancelTimeout)
		time.Sleep(time.Second)
		e.redis.mu.Lock()
		defer e.redis.mu.Unlock()
		for _, key := range keys {
			if owner := e.redis.key(key).owner; owner != "" {
				e.Fatalf("%s is held by %s", key, owner)
			}
		}
	})
}

// TestGroupGivesUpWhileReleasing ends the ctx of a request for several keys while it gives back
// those behind the one that it waits for, and Redis answers nothing.
func TestGroupGivesUpWhileReleasing(t *testing.T) {
	inBubble(t, func(e *env) {
		k1, _ := e.process()
		k2, s2 := e.process()
		p := params(time.Minute)
		p.Key = "b"
		e.take(k1, p)
		s2.point = func(what string) fault {
			if what == "send release" {
				time.Sleep(10 * time.Second)
			}
			return fine
		}
		ctx, cancel := context.WithTimeout(e.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := new(MultiLease).Acquire(ctx, k2, p, []string{"a", "b", "c"})
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Error(err)
		}
		e.within("the call returns", start, time.Second+2*retry.CancelTimeout)
	})
}
