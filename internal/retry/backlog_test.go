package retry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestBacklogRepeatsWithTheCallersValues tries a call after its ctx has ended. The call is repeated until
// it succeeds, with the values of that ctx, and done is called once.
func TestBacklogRepeatsWithTheCallersValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "caller"))
		cancel()
		calls, done := 0, 0
		new(Backlog).Try(ctx, func(ctx context.Context) error {
			if ctx.Err() != nil || ctx.Value(key{}) != "caller" {
				t.Errorf("called with %v, %v", ctx.Value(key{}), ctx.Err())
			}
			if calls++; calls < 3 {
				return errUnavailable
			}
			return nil
		}, time.Now().Add(time.Minute), func() { done++ })
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls != 3 || done != 1 {
			t.Errorf("%d calls, done %d times", calls, done)
		}
	})
}
