package waitgroup_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// The start and the end of a task emit events, for each method.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		wg := waitgroup.New(rdb, "key")
		var r redistest.Record[waitgroup.Event]
		wg.Trace = (*waitgroup.Trace)(r.Trace())
		ended := []string{"acquired immediate", "released <nil>"}

		wg.Go(func() { time.Sleep(time.Second) })
		wg.Wait()
		r.CheckTake(t, "Go", ended...)
		if r.Held() != time.Second {
			t.Errorf("the task took a second, the event has %v", r.Held())
		}
		must(wg.Do(t.Context(), func(context.Context) error { return nil }))
		r.CheckTake(t, "Do", ended...)
		wg.Add(1)
		task := claim(t, wg)
		must(task.Abandon())
		r.CheckTake(t, "Claim and Abandon", ended...)
		_, err := wg.Claim(t.Context())
		is(t, "Claim", err, waitgroup.ErrNothingToClaim)
		r.CheckTake(t, "Claim", `failed baton: claim "key": nothing to claim`)

		wg.Add(2)
		task = claim(t, wg)
		time.Sleep(waitgroup.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		time.Sleep(waitgroup.DefaultTTL)
		r.CheckTake(t, "a deleted group", "acquired immediate", "lost key_missing")
		if r.Renewals() == 0 {
			t.Error("there are no Renewed events")
		}
		is(t, "Done", task.Done(), waitgroup.ErrLost)
	})
}
