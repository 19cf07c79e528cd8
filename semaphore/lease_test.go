package semaphore_test

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestReleasedLeaseErrors releases a lease twice: its errors name operation and key, and do not
// speak of a lock.
func TestReleasedLeaseErrors(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		l := acquire(t, weightedOf(rdb, 1, ample), 1)
		release(t, l)
		for want, err := range map[string]error{`baton: acquire "key": released`: l.Err(), `baton: release "key": released`: l.Release()} {
			if !errors.Is(err, semaphore.ErrReleased) || err.Error() != want {
				t.Errorf("%v, want %v", err, want)
			}
		}
	})
}
