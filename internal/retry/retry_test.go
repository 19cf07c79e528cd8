package retry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errUnavailable = errors.New("away")

// TestNoRetry checks that a call without retries and a permanent error end after one call.
func TestNoRetry(t *testing.T) {
	for retry, failure := range map[bool]error{false: errUnavailable, true: Permanent(errUnavailable)} {
		n := 0
		_, err := Do(t.Context(), "op", "key", retry, func(context.Context) (int, error) { n++; return 0, failure })
		if n != 1 || !errors.Is(err, errUnavailable) || IsPermanent(err) != retry || err.Error() != `baton: op "key": away` {
			t.Errorf("%d calls, %v", n, err)
		}
	}
}

// TestRetryEnds ends ctx before a call, while it succeeds, during a call that does not return, and between
// calls. The error has both errors, and the end takes no time.
func TestRetryEnds(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	for _, f := range []func(context.Context) (int, error){
		func(context.Context) (int, error) { cancel(why); return 1, nil },
		func(context.Context) (int, error) { panic("called") },
	} {
		_, err := Do(ctx, "op", "key", true, f)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Error(err)
		}
	}
	for name, hang := range map[string]bool{"during": true, "between": false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, why)
			defer cancel()
			returns := make(chan struct{})
			defer close(returns)
			start, n := time.Now(), 0
			_, err := Do(ctx, "op", "key", true, func(context.Context) (int, error) {
				if n++; hang && n > 3 {
					<-returns
				}
				return 0, errUnavailable
			})
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why) || !errors.Is(err, errUnavailable) ||
				!strings.Contains(err.Error(), "(Redis: away)") {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took != 10*time.Second || !hang && (n < 9 || n > 40) {
				t.Errorf("%s: ended after %v and %d calls", name, took, n)
			}
		})
	}
}
