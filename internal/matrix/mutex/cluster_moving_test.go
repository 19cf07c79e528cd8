package mutex_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestClusterSlotBeginsToMove releases a lock with a waiter while its slot is being moved and all its
// keys are still on the old node. If a script deleted a key, Redis would refuse the script's further
// access to it: the script would end half done, and the lock would have no owner.
func TestClusterSlotBeginsToMove(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	a, b := c.Client(t), c.Client(t)
	var answered atomic.Int64 // replies to scripts of the holder, including go-redis' retries
	a.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		defer answered.Add(1)
		return next(ctx, cmd)
	}))
	for key, locks := range map[string][2]interface {
		LockContext(context.Context) (*mutex.Lease, error)
		LockChan(context.Context) <-chan mutex.Result
	}{
		"mutex": {mutex.New(a, "mutex"), mutex.New(b, "mutex")},
		"rw":    {mutex.NewRW(a, "rw"), mutex.NewRW(b, "rw")},
	} {
		slot := c.Slot(t, key)
		from := c.Owner(t, slot)
		held, err := locks[0].LockContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		next := locks[1].LockChan(t.Context())
		siblings := func() (n int) {
			for _, k := range from.Keys(t) {
				if strings.HasPrefix(k, "baton:{"+key+"}:") {
					n++
				}
			}
			return n
		}
		redistest.Eventually(t, 5*time.Second, func() bool { return siblings() == 3 }, "the waiter is queued")

		stop := c.BeginMigration(t, slot)
		before := answered.Load()
		unlocked := make(chan error)
		go func() { unlocked <- held.Unlock() }()
		redistest.Eventually(t, 5*time.Second, func() bool { return answered.Load() > before }, "the release is sent")
		stop()
		if err := <-unlocked; err != nil {
			t.Errorf("%s: Unlock: %v", key, err)
		}
		select {
		case r := <-next:
			if r.Err != nil {
				t.Fatalf("%s: %v", key, r.Err)
			}
			unlock(t, r.Lease)
		case <-time.After(8 * time.Second): // the waiter has polled by then
			t.Fatalf("%s: the waiter is not granted the lock", key)
		}
	}
}

// TestClusterSlotMovesUnderBatches locks keys from many goroutines, so that commands are sent in
// batches, while a slot moves to another node, a node joins, and the slot moves again (rows 9 and
// 10). Redirections are followed, and no call fails.
func TestClusterSlotMovesUnderBatches(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	c.Errors(t, "MOVED") // skips the test on servers that do not count errors
	rdb := c.Client(t)
	var locked atomic.Int64
	largest := largestPipeline(rdb)
	const goroutines = 64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for i := range goroutines {
		key := fmt.Sprint("key", i)
		if i%2 == 0 {
			key = fmt.Sprint("{t}", i) // in the moving slot
		}
		m := mutex.New(rdb, key)
		wg.Go(func() {
			for ctx.Err() == nil {
				l, err := m.LockContext(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Unlock(); err != nil {
					t.Errorf("Unlock: %v", err)
				}
				locked.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		before := locked.Load()
		redistest.Eventually(t, redistest.Patience, func() bool { return locked.Load() > before+10*goroutines }, "the goroutines continue")
	}
	slot := c.Slot(t, "{t}")
	moved := c.Errors(t, "MOVED")
	more()
	for range 3 { // the third move is to or from the new node
		move := c.Migrate(t, slot)
		more()
		move.Finish(t)
		more()
		if len(c.Nodes) == 2 {
			c.Join(t)
		}
	}
	stop()
	wg.Wait()
	if n := c.Errors(t, "MOVED") - moved; n == 0 {
		t.Error("no command was redirected")
	}
	if largest.Load() < 2 {
		t.Error("no batch was sent")
	}
}
