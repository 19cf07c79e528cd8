package lease

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("away")

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		fails := func(context.Context) (int, error) {
			if n++; n < 5 {
				return 0, errAway
			}
			return n, nil
		}
		for _, ctx := range []context.Context{context.Background(), t.Context()} {
			n = 0
			if got, err := Call(ctx, "op", "key", true, fails); got != 5 || err != nil {
				t.Errorf("got %d, %v", got, err)
			}
		}
	})
}

func TestCallImpatient(t *testing.T) {
	n := 0
	_, err := Call(t.Context(), "op", "key", false, func(context.Context) (int, error) { n++; return 0, errAway })
	if n != 1 || !errors.Is(err, errAway) || err.Error() != `baton: op "key": away` {
		t.Errorf("%d calls, %v", n, err)
	}
}

func TestCallPermanent(t *testing.T) {
	n := 0
	_, err := Call(t.Context(), "op", "key", true, func(context.Context) (int, error) { n++; return 0, Permanent(errAway) })
	if n != 1 || !IsPermanent(err) || err.Error() != `baton: op "key": away` {
		t.Errorf("%d calls, %v", n, err)
	}
}

// TestCallEnds ends ctx before a call, during one that never answers, and in the
// pause after one that failed: both errors are there, and it takes no time.
func TestCallEnds(t *testing.T) {
	why := errors.New("why")
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		_, err := Call(ctx, "op", "key", true, func(context.Context) (int, error) { panic("called") })
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Error(err)
		}
	})
	for name, hang := range map[string]bool{"during": true, "between": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, why)
				defer cancel()
				answers := make(chan struct{})
				defer close(answers)
				start, n := time.Now(), 0
				_, err := Call(ctx, "op", "key", true, func(context.Context) (int, error) {
					if n++; hang && n > 3 {
						<-answers
					}
					return 0, errAway
				})
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why) || !errors.Is(err, errAway) ||
					!strings.Contains(err.Error(), "(Redis: away)") {
					t.Error(err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
				if !hang && (n < 9 || n > 40) {
					t.Errorf("%d calls in 10 s", n)
				}
			})
		})
	}
}

// TestCallDone lets ctx end while the call succeeds: ctx wins.
func TestCallDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Call(ctx, "op", "key", true, func(context.Context) (int, error) { cancel(); return 1, nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
