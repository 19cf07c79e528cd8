package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// promptStore is a store whose calls end with their ctx.
type promptStore struct{ stubStore }

func (promptStore) MaxBlock() time.Duration { return 0 }

// TestRetryUntilKeepsNoContext repeats a call that fails: when an attempt begins, nothing
// is left of the earlier ones, whose number has no bound.
func TestRetryUntilKeepsNoContext(t *testing.T) {
	for name, row := range map[string]struct {
		store Store
		until time.Duration
	}{
		"waited for to the end":                  {promptStore{}, time.Minute},
		"waited for no longer than it is of use": {stubStore{}, 200 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(row.store, nil)
			var made []context.Context
			_, _ = c.RetryUntil(context.Background(), time.Now().Add(row.until), func(ctx context.Context) (bool, error) {
				synctest.Wait() // the goroutine of the last attempt has ended
				for i, earlier := range made {
					if earlier.Err() == nil {
						t.Errorf("%s: attempt %d keeps the context of attempt %d", name, len(made), i)
					}
				}
				made = append(made, ctx)
				return false, errors.New("connection lost")
			}, nil)
			if len(made) < 5 {
				t.Errorf("%s: %d attempts", name, len(made))
			}
		})
	}
}
