package mutex_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultUnlockAfterLoss unlocks what was lost (row 49), again and again.
func TestFaultUnlockAfterLoss(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second // so that no second renewal is under way when the first is refused
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	done := l.Done()
	s.Do(t, "SET", "key", "foreign")
	loses(t, l, done, time.Now(), ttl)
	before := s.Stats(t)
	for range 10 {
		if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Unlock returned %v", err)
		}
	}
	if n := s.Stats(t).Since(before).Scripts(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if got := owner(t, s); got != "foreign" {
		t.Errorf("the key holds %v", got)
	}
}
