package mutex_test

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultUnlockTwice unlocks again and again, in turn and at once (row 49): one
// succeeds, and the others ask nobody.
func TestFaultUnlockTwice(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), ample)
	l := lock(t, m)
	unlock(t, l)
	next := lock(t, m)
	before := s.Stats(t)
	for range 10 {
		if err := l.Unlock(); !errors.Is(err, mutex.ErrUnlocked) {
			t.Errorf("another Unlock returned %v", err)
		}
	}
	if n := s.Stats(t).Since(before).Scripts(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
	if next.Err() != nil || owner(t, s) == nil {
		t.Error("an old lease has unlocked a new one")
	}
	unlock(t, next)

	for range 100 {
		l := lock(t, m)
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = l.Unlock() })
		}
		wg.Wait()
		if a, b := errs[0], errs[1]; a != nil && b != nil || !errors.Is(errors.Join(a, b), mutex.ErrUnlocked) {
			t.Fatalf("two at once returned %v and %v", a, b)
		}
	}
	rests(t, s, 0)
}

// TestFaultTTLs uses TTLs that look odd and work (row 51).
func TestFaultTTLs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	for ttl, want := range map[time.Duration]time.Duration{
		1234567890 * time.Nanosecond: 1234 * time.Millisecond, // cut to whole milliseconds
		24 * 365 * time.Hour:         24 * 365 * time.Hour,
		math.MaxInt64:                math.MaxInt64,
	} {
		l := lock(t, mutexOf(rdb, ttl))
		left := time.Duration(s.Do(t, "PTTL", "key").(int64)) * time.Millisecond
		if left > want || left < want/2 {
			t.Errorf("%v is left of %v", left, ttl)
		}
		unlock(t, l)
	}
	// The least: on a busy machine it may be lost, or end before Redis has confirmed
	// that it was unlocked.
	if err := lock(t, mutexOf(rdb, 10*time.Millisecond)).Unlock(); err != nil {
		t.Log(err)
	}
	rests(t, s, 0)
}
