package waitgroup_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// TestTrace has tasks begin and end in each way that there is.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var outage redistest.Outage
		rdb.AddHook(&outage)
		wg := waitgroup.New(rdb, "key")
		var r redistest.Record
		wg.Trace = r.Trace()
		ended := []string{"acquired at_once", "released <nil>"}

		wg.Go(func() { time.Sleep(time.Second) })
		wg.Wait()
		r.Tells(t, "Go", ended...)
		if r.Held() != time.Second {
			t.Errorf("the task took a second, and it says %v", r.Held())
		}
		must(wg.GoContext(t.Context(), func(context.Context) error { return nil }))
		r.Tells(t, "GoContext", ended...)
		wg.Add(1)
		task := join(t, wg)
		must(task.Abandon())
		r.Tells(t, "Join and Abandon", ended...)
		if _, err := wg.Join(t.Context()); !errors.Is(err, waitgroup.ErrNoTask) {
			t.Error(err)
		}
		r.Tells(t, "Join", `failed baton: claim "key": no task to join`)

		wg.Add(2)
		task = join(t, wg)
		time.Sleep(waitgroup.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		time.Sleep(waitgroup.DefaultTTL)
		r.Tells(t, "a group that is gone", "acquired at_once", "lost gone")
		if r.Renewals() == 0 {
			t.Error("it says that nothing was renewed")
		}
		is(t, "Done", task.Done(), waitgroup.ErrLost)

		wg.Add(1)
		task = join(t, wg)
		wait := wg.WaitChan(t.Context())
		time.Sleep(time.Second)
		outage.Set(true)
		time.AfterFunc(time.Minute, func() { outage.Set(false) })
		is(t, "Wait", <-wait, waitgroup.ErrAbandoned)
		count, lines := map[string]int{}, r.Told()
		for _, line := range lines {
			count[line]++
		}
		if count["error renew"] == 0 || count["error look"] == 0 || count["lost unrenewed"] != 1 || count["acquired at_once"] != 1 {
			t.Errorf("without Redis it tells %q", lines)
		}
		is(t, "Done", task.Done(), waitgroup.ErrLost)

		outage.Set(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, "AddContext", wg.AddContext(ctx, 1), context.DeadlineExceeded)
		outage.Set(false)
		r.Tells(t, "AddContext", "error change")
	})
}
