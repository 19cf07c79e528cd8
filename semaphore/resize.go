package semaphore

import (
	"context"
	"fmt"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// Resize sets the size of the semaphore to n, for all processes, and grants permits to
// the waiters that now fit. If n is less than what is in use, nobody loses permits. No
// new permits are granted until usage fits the new size. Exception: goroutines of one
// process may still pass permits on within its time slice. n must be between 0 and 2^52. A
// size of 0 stops all acquires until the next Resize.
//
// Afterwards, NewWeighted accepts the new size and the original size. So you need not
// restart all processes together. Waiters that want more than the new size fail with
// ErrExceedsSize: the first in line immediately, the others at their next poll.
//
// While Redis is unreachable, Resize retries with backoff until ctx is done. A Resize
// that returns an error may have taken effect, or may still take effect. The last
// Resize that Redis executes wins.
func (s *Weighted) Resize(ctx context.Context, n int64) error {
	var err error
	if n < 0 || n > maxSize {
		err = fmt.Errorf("invalid size %d: must be between 0 and 2^52", n)
	}
	if err := s.usable("resize", err); err != nil {
		return err
	}
	_, err = retry.Do(ctx, "resize", s.key, true, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.Resize(ctx, s.key, s.size, n)
	})
	return err
}
