package semaphore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// Each way to acquire tells when it waits, and when it has the permits or has given them back.
func TestTrace(t *testing.T) {
	leased := func(get func(ctx context.Context, s *semaphore.Weighted) (*semaphore.Lease, error)) func(context.Context, *semaphore.Weighted, func()) {
		return func(ctx context.Context, s *semaphore.Weighted, hold func()) {
			l, err := get(ctx, s)
			must(err)
			hold()
			must(l.Release())
		}
	}
	for name, take := range map[string]func(ctx context.Context, s *semaphore.Weighted, hold func()){
		"Acquire": func(ctx context.Context, s *semaphore.Weighted, hold func()) {
			_ = s.Acquire(ctx, 2)
			hold()
			s.Release(1)
			s.Release(1)
		},
		"TryAcquire": func(_ context.Context, s *semaphore.Weighted, hold func()) {
			if !s.TryAcquire(2) {
				panic("not acquired")
			}
			hold()
			s.Release(2)
		},
		"AcquireLease": leased(func(ctx context.Context, s *semaphore.Weighted) (*semaphore.Lease, error) {
			return s.AcquireLease(ctx, 2)
		}),
		"TryAcquireLease": leased(func(ctx context.Context, s *semaphore.Weighted) (*semaphore.Lease, error) {
			return s.TryAcquireLease(ctx, 2)
		}),
		"AcquireChan": leased(func(ctx context.Context, s *semaphore.Weighted) (*semaphore.Lease, error) {
			r := <-s.AcquireChan(ctx, 2)
			synctest.Wait() // what is received is told at the same time
			return r.Lease, r.Err
		}),
		"Do": func(ctx context.Context, s *semaphore.Weighted, hold func()) {
			_ = s.Do(ctx, 2, func(context.Context) error { hold(); return nil })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			rdb := bubbleClient(t)
			use := func(wait time.Duration) {
				var r redistest.Record[semaphore.Event]
				s := weightedOf(rdb, 3, ample)
				s.Trace = (*semaphore.Trace)(r.Trace())
				acquired := "2 acquired immediate"
				var told []string
				if wait > 0 {
					acquired, told = "2 acquired notified", []string{"2 waiting"}
				}
				start := time.Now()
				take(t.Context(), s, func() {
					if got := r.Now(); !slices.Equal(got, append(told, acquired)) {
						t.Errorf("%s has returned, and it tells %q", name, got)
					}
					if took := time.Since(start); r.Waited() != took || took < wait {
						t.Errorf("%s: it has waited %v, and says %v", name, took, r.Waited())
					}
					time.Sleep(time.Second)
				})
				if got := r.Now(); !slices.Equal(got, append(told, acquired, "2 released <nil>")) {
					t.Errorf("%s is over, and it tells %q", name, got)
				}
				if r.Held() != time.Second {
					t.Errorf("%s: it was held for a second, and says %v", name, r.Held())
				}
			}
			use(0)
			if strings.HasPrefix(name, "Try") {
				return
			}
			theirs := acquire(t, weightedOf(sibling(t, rdb), 3, ample), 2)
			time.AfterFunc(400*time.Millisecond, func() { release(t, theirs) })
			use(400 * time.Millisecond)
		})
	}
}

// A request that is refused is told as failed, and permits that are lost as lost.
func TestTraceFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var r redistest.Record[semaphore.Event]
		s := weightedOf(rdb, 3, ample)
		s.Trace = (*semaphore.Trace)(r.Trace())
		held := acquire(t, weightedOf(sibling(t, rdb), 3, ample), 2)
		if _, err := s.TryAcquireLease(t.Context(), 2); !errors.Is(err, semaphore.ErrNotAvailable) {
			t.Error(err)
		}
		if _, err := s.AcquireLease(t.Context(), 4); err == nil {
			t.Error("four of three are acquired")
		}
		r.CheckTake(t, "refused", `2 failed baton: try to acquire "key": permits not available`, `4 failed baton: acquire "key": request exceeds the size: requested 4 permits, semaphore has 3`)
		release(t, held)
		l := acquire(t, s, 2)
		time.Sleep(ample / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		r.CheckTake(t, "a key that is gone", "2 acquired immediate", "2 lost key_missing")
		if r.Renewals() == 0 || r.Held() < ample/2 {
			t.Errorf("it was renewed %d times, and held for %v", r.Renewals(), r.Held())
		}
	})
}
