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

// faultLingerer is a process that locks the key again and again, and says "lingers" when it has done
// so for a while: it hardly ever holds the lock, and keeps it in between. If it stood still for a TTL,
// or waited, it says "held" and the fence when it has locked the key next.
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
		_ = l.Unlock() // it may have been stopped, and have lost it
		if i == 20 {
			fmt.Println("lingers")
		}
		time.Sleep(ttl / 100)
	}
}

// lingering starts such a process, and returns when its claim lingers.
func lingering(t *testing.T, s *redistest.Server, ttl time.Duration) (w kit.Worker) {
	t.Helper()
	w = kit.Spawn(t, s, "fault-lingerer", ttl)
	w.Says("lingers")
	return w
}

// TestFaultLingererDies kills a process whose claim lingers (row 82): the lock was unlocked, and
// is held until its TTL is over.
func TestFaultLingererDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := lingering(t, s, ttl)
	w.Kill()
	if token := owner(t, s); !(lease.Holder{Owner: lease.Owner{Token: fmt.Sprint(token)}}).MayLinger() {
		t.Fatalf("the owner is %q, which does not linger", token)
	}
	n := receive(t, "to wait for the end of the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+poll)
	keeps(t, n, ttl)
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultLingererStops stops such a process for longer than its TTL. It learns that its claim
// has ended at its next lock, which waits.
func TestFaultLingererStops(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := lingering(t, s, ttl)
	w.Pause()
	n := receive(t, "to wait for the end of the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+poll)
	keeps(t, n, ttl)
	w.Continue()
	kit.Silent(t, "the worker", w.Lines(), ttl)
	keeps(t, n, ttl)
	unlock(t, n)
	if again := w.Held(); again <= n.Fence() {
		t.Errorf("fence %d after %d", again, n.Fence())
	}
	w.Kill()
}
