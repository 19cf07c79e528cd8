package mutex_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func init() { workers["fault-lingerer"] = faultLingerer }

// faultLingerer is a worker that locks the key repeatedly, and keeps the claim between its short holds.
// It prints "lingers" after some holds. After a wait or a stop longer than the TTL, it prints "held" and
// the fence.
func faultLingerer() {
	rdb, ttl := kit.FromEnv()
	m := mutexOf(rdb, ttl)
	m.Linger = ttl / 10
	last := time.Now()
	for i := 0; ; i++ {
		l, err := m.LockContext(context.Background())
		must(err)
		if time.Since(last) > ttl && l.Err() == nil {
			fmt.Println("held", l.Fence())
		}
		last = time.Now()
		_ = l.Unlock() // returns ErrLost if the process was stopped
		if i == 20 {
			fmt.Println("lingers")
		}
		time.Sleep(ttl / 100)
	}
}

// lingering starts a faultLingerer, and returns when its claim lingers.
func lingering(t *testing.T, s *redistest.Server, ttl time.Duration) (w kit.Worker) {
	t.Helper()
	w = kit.Spawn(t, s, "fault-lingerer", ttl)
	w.Expect("lingers")
	return w
}

// TestFaultLingererDies kills a process whose claim lingers (row 82). The lock was unlocked, but stays held
// until its TTL has passed.
func TestFaultLingererDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := lingering(t, s, ttl)
	w.Kill()
	if token := owner(t, s); !(lease.Holder{Owner: lease.Owner{Token: fmt.Sprint(token)}}).MayLinger() {
		t.Fatalf("the owner is %q, which cannot linger", token)
	}
	n := receive(t, "to lock after the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+poll)
	expectKept(t, n, ttl)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultLingererStops stops such a process for longer than its TTL. When it continues, its claim has
// ended, so its next lock waits.
func TestFaultLingererStops(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := lingering(t, s, ttl)
	w.Pause()
	n := receive(t, "to lock after the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+poll)
	expectKept(t, n, ttl)
	w.Continue()
	kit.ExpectNone(t, "the worker", w.Lines(), ttl)
	expectKept(t, n, ttl)
	unlock(t, n)
	if again := w.ExpectHeld(); again <= n.Fence() {
		t.Errorf("fence %d after %d", again, n.Fence())
	}
	w.Kill()
}
