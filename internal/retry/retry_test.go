package retry

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errUnavailable = errors.New("away")

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		fails := func(context.Context) (int, error) {
			if n++; n < 5 {
				return 0, errUnavailable
			}
			return n, nil
		}
		for _, ctx := range []context.Context{context.Background(), t.Context()} {
			n = 0
			if got, err := Do(ctx, "op", "key", true, fails); got != 5 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
		}
	})
}

// TestNoRetry checks that a call without retries and a permanent error end after one call.
func TestNoRetry(t *testing.T) {
	for name, c := range map[string]struct {
		retry bool
		err   error
	}{"no retries": {false, errUnavailable}, "permanent": {true, Permanent(errUnavailable)}} {
		n := 0
		_, err := Do(t.Context(), "op", "key", c.retry, func(context.Context) (int, error) { n++; return 0, c.err })
		if n != 1 || !errors.Is(err, errUnavailable) || IsPermanent(err) != c.retry || err.Error() != `baton: op "key": away` {
			t.Errorf("%s: %d calls, %v", name, n, err)
		}
	}
}

// TestRetryEnds ends ctx before a call, during a call that does not return, and between calls. The error
// has both errors, and the end takes no time.
func TestRetryEnds(t *testing.T) {
	why := errors.New("why")
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		_, err := Do(ctx, "op", "key", true, func(context.Context) (int, error) { panic("called") })
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Error(err)
		}
	})
	for name, hang := range map[string]bool{"during": true, "between": false} {
		t.Run(name, func(t *testing.T) {
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
					t.Error(err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("ended after %v", took)
				}
				if !hang && (n < 9 || n > 40) {
					t.Errorf("%d calls in 10 s", n)
				}
			})
		})
	}
}

// TestRetryDone ends ctx while the call succeeds. The error of ctx wins.
func TestRetryDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Do(ctx, "op", "key", true, func(context.Context) (int, error) { cancel(); return 1, nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
