package semaphore

import (
	"context"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// Resize makes n the size of the semaphore, for all processes at once and for
// those to come, and lets in whoever fits now. If n is less than what is in use,
// nobody loses a permit, and nobody gets one until enough have come back, but for
// what passes from hand to hand inside a process, for a turn.
//
// Afterwards a process may state the new size or that which the semaphore was
// created with: so a fleet needs no restart, and can be given the new one in its
// own time. Who waits for more than there are any longer gets ErrSize: at once if
// it is first in line, by its next request otherwise. Resize waits for Redis to
// come back until ctx ends. One that returns an error may have taken effect, or
// may yet, when Redis comes to it: the last to be executed counts.
func (s *Weighted) Resize(ctx context.Context, n int64) error {
	if err := s.usable("resize", n); err != nil {
		return err
	}
	_, err := lease.Call(ctx, "resize", s.key, true, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.Resize(ctx, s.key, s.size, n)
	})
	return err
}
