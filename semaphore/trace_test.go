package semaphore_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// Each method that acquires emits events for its grant and its release, and for its wait. A refused
// request emits Failed, and a loss of permits Lost.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var r redistest.Record[semaphore.Event]
		s, other := weightedOf(rdb, 3, ample), weightedOf(sibling(t, rdb), 3, ample)
		s.Trace = (*semaphore.Trace)(r.Trace())
		for name, take := range ways(t, s, 2) {
			releaseAll := take()
			r.CheckTake(t, name, "2 acquired immediate")
			time.Sleep(time.Second)
			if releaseAll(); r.Held() != time.Second {
				t.Errorf("%s: a hold of %v, want a second", name, r.Held())
			}
			r.CheckTake(t, name, "2 released <nil>")
		}
		theirs := acquire(t, other, 2)
		if _, err := s.TryAcquireLease(t.Context(), 2); !errors.Is(err, semaphore.ErrNotAvailable) {
			t.Error(err)
		}
		if _, err := s.AcquireLease(t.Context(), 4); !errors.Is(err, semaphore.ErrExceedsSize) {
			t.Error(err)
		}
		r.CheckTake(t, "refused", `2 failed baton: try to acquire "key": permits not available`, `4 failed baton: acquire "key": request exceeds the size: requested 4 permits, semaphore has 3`)
		time.AfterFunc(400*time.Millisecond, func() { release(t, theirs) })
		l := acquire(t, s, 2)
		r.CheckTake(t, "a wait", "2 waiting", "2 acquired notified")
		if r.Waited() < 400*time.Millisecond {
			t.Errorf("a wait of %v", r.Waited())
		}
		time.Sleep(ample / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		r.CheckTake(t, "a deleted key", "2 lost key_missing")
		if r.Renewals() == 0 || r.Held() < ample/2 {
			t.Errorf("%d renewals, and a hold of %v", r.Renewals(), r.Held())
		}
	})
}
