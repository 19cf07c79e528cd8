package mutex_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func init() { workers["fault-lingerer"] = faultLingerer }

// faultLingerer is a process that locks the key again and again, and says "lingers" when it has
// done so for a while: it hardly ever holds the lock, and keeps it in between. If it stood still
// for a TTL, it says "again" and the fence when it has locked the key next.
func faultLingerer() {
	ttl, _ := time.ParseDuration(os.Getenv("TTL"))
	m := mutexOf(redis.NewClient(&redis.Options{Addr: os.Getenv("ADDR")}), ttl)
	m.Linger = ttl / 10
	last := time.Now()
	for i := 0; ; i++ {
		stood := time.Since(last) > ttl
		last = time.Now()
		l, err := m.LockContext(context.Background())
		if err != nil {
			fmt.Println("failed", err)
			return
		}
		if stood {
			fmt.Println("again", l.Fence())
		}
		if err := l.Unlock(); err != nil {
			fmt.Println("failed", err)
		}
		if i == 20 {
			fmt.Println("lingers")
		}
		if time.Since(last) > ttl { // it waited, and did not stand still
			last = time.Now()
		}
		time.Sleep(ttl / 100)
	}
}

func spawnLingerer(t *testing.T, s *redistest.Server, ttl time.Duration) locker {
	t.Helper()
	w := locker{redistest.Spawn(t, "fault-lingerer", "ADDR="+s.Addr(), "TTL="+ttl.String()), t}
	w.says("lingers")
	return w
}

// TestFaultLingererDies kills a process whose claim lingers (row 82): the lock was unlocked, and
// is held until its TTL is over.
func TestFaultLingererDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	w := spawnLingerer(t, s, ttl)
	w.Kill()
	if token := owner(t, s); !(lease.Holder{Owner: lease.Owner{Token: fmt.Sprint(token)}}).MayLinger() {
		t.Fatalf("the owner is %q, which does not linger", token)
	}
	n := receive(t, "to wait for the end of the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+lease.MaxPollInterval)
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
	w := spawnLingerer(t, s, ttl)
	w.Pause()
	n := receive(t, "to wait for the end of the linger", mutexOf(s.Client(t), ample).LockChan(t.Context()), ttl+lease.MaxPollInterval)
	keeps(t, n, ttl)
	w.Continue()
	w.silent(ttl)
	keeps(t, n, ttl)
	fence := n.Fence()
	unlock(t, n)
	again, err := strconv.ParseInt(w.says("again"), 10, 64)
	if err != nil || again <= fence {
		t.Errorf("fence %d after %d, %v", again, fence, err)
	}
	w.Kill()
}
