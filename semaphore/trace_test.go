package semaphore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// Each method that acquires emits events for its wait, its grant and its release.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var r redistest.Record[semaphore.Event]
		s := weightedOf(rdb, 3, ample)
		s.Trace = (*semaphore.Trace)(r.Trace())
		for name, take := range ways(t, s, 2) {
			for wait, want := range map[time.Duration][]string{0: {"2 acquired immediate"}, 400 * time.Millisecond: {"2 waiting", "2 acquired notified"}} {
				if wait > 0 {
					if strings.HasPrefix(name, "Try") {
						continue
					}
					theirs := acquire(t, weightedOf(sibling(t, rdb), 3, ample), 2)
					time.AfterFunc(wait, func() { release(t, theirs) })
				}
				start := time.Now()
				back := take()
				synctest.Wait() // a receive and its event are concurrent
				if took := time.Since(start); !slices.Equal(r.Now(), want) || r.Waited() != took || took < wait {
					t.Errorf("%s: after %v, the events are %q, with a wait of %v", name, took, r.Now(), r.Waited())
				}
				time.Sleep(time.Second)
				back()
				if want := append(want, "2 released <nil>"); !slices.Equal(r.Now(), want) || r.Held() != time.Second {
					t.Errorf("%s: at the end, the events are %q, with a hold of %v", name, r.Now(), r.Held())
				}
				r.Take()
			}
		}
	})
}

// A refused request emits Failed, and a loss of permits Lost.
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
			t.Error("AcquireLease of 4 of 3 permits succeeds")
		}
		r.CheckTake(t, "refused", `2 failed baton: try to acquire "key": permits not available`, `4 failed baton: acquire "key": request exceeds the size: requested 4 permits, semaphore has 3`)
		release(t, held)
		l := acquire(t, s, 2)
		time.Sleep(ample / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		r.CheckTake(t, "a deleted key", "2 acquired immediate", "2 lost key_missing")
		if r.Renewals() == 0 || r.Held() < ample/2 {
			t.Errorf("%d renewals, and a hold of %v", r.Renewals(), r.Held())
		}
	})
}
