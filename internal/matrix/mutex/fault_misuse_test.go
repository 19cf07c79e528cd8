package mutex_test

import (
	"errors"
	"fmt"
	"strings"
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

// TestFaultKeys locks keys with all kinds of names (row 52): each works, is the
// lock by that very name, is handed over, and excludes no other.
func TestFaultKeys(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := s.Client(t), s.Client(t)
	keys := []string{
		"{}", "}x", "a}b", "{", "}", "{tag}", "x{tag}y", "{}{tag}", "{{x}}", "tag", " ", "a b", "a\nb", "\x00", "\xff\xfe", "\r\n",
		"baton:x", "key:queue", "1 2 3 4", strings.Repeat("k", 1<<20),
	}
	var held []*mutex.Lease
	for _, key := range keys {
		held = append(held, lock(t, mutex.New(a, key)))
	}
	for i, key := range keys {
		name := fmt.Sprintf("%.20q", key)
		if token, ok := s.Do(t, "GET", key).(string); !ok || !strings.HasPrefix(token, "baton:10000:") {
			t.Errorf("%s holds %v", name, token)
		}
		m := mutex.New(b, key)
		if _, err := m.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("%s does not exclude: %v", name, err)
		}
		before := s.Stats(t)
		next := m.LockChan(t.Context())
		redistest.Eventually(t, poll, func() bool { return s.Stats(t).Since(before).Calls["zadd"] == 1 }, "%s has a queue", name)
		unlock(t, held[i])
		unlock(t, receive(t, name, next, 0))
	}
	rests(t, s, 0)
}
