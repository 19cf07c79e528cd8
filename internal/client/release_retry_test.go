package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// promptStore is a store whose calls return when their ctx ends.
type promptStore struct{ stubStore }

func (promptStore) MaxBlock() time.Duration { return 0 }

// TestRetryUntilKeepsNoContext repeats a failing call without a limit. When an attempt begins, the
// contexts of all earlier ones must have ended.
func TestRetryUntilKeepsNoContext(t *testing.T) {
	for name, row := range map[string]struct {
		store Store
		until time.Duration
	}{
		"attempts that return":    {promptStore{}, time.Minute},
		"attempts that may block": {stubStore{}, 200 * time.Millisecond},
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
