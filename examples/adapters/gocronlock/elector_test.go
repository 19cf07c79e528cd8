package gocronlock_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/rival"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const brief = 300 * time.Millisecond // a TTL

// runElector runs the elector of a process of its own. The function ends Run and returns its result.
func runElector(t *testing.T, rdb *redis.Client, ttl time.Duration) (*gocronlock.Elector, func() error) {
	election := mutex.NewElection(rival.Of(t, rdb), "leader")
	election.TTL = ttl
	e := gocronlock.NewElector(election)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- e.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-result
	})
	t.Cleanup(func() { _ = stop() })
	return e, stop
}

func becomesLeader(t *testing.T, e *gocronlock.Elector) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return e.IsLeader(t.Context()) == nil }, "it does not lead")
}

func TestElector(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, stop := runElector(t, rdb, mutex.DefaultTTL)
		becomesLeader(t, ours)
		theirs, stopTheirs := runElector(t, rdb, mutex.DefaultTTL)
		inspect := mutex.NewElection(rdb, "leader")
		redistest.Eventually(t, redistest.Patience, func() bool {
			s, err := inspect.Inspect(t.Context())
			return err == nil && s.Waiters == 1
		}, "the second does not campaign")
		if err := theirs.IsLeader(t.Context()); err != gocronlock.ErrNotLeader {
			t.Errorf("the second: %v", err)
		}
		if err := stop(); err != nil {
			t.Errorf("the first ends with %v", err)
		}
		if err := ours.IsLeader(t.Context()); err != gocronlock.ErrNotLeader {
			t.Errorf("the first, thereafter: %v", err)
		}
		becomesLeader(t, theirs)
		if err := stopTheirs(); err != nil {
			t.Errorf("the second ends with %v", err)
		}
		bad := gocronlock.NewElector(mutex.NewElection(nil, "leader"))
		if err := bad.Run(t.Context()); err == nil {
			t.Error("Run without a client returns nil")
		}
	})
}

func TestElectorLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, _ := runElector(t, rdb, brief)
		never, stop := gocronlock.NewElector(mutex.NewElection(rdb, "leader")).Context(t.Context())
		defer stop()
		if context.Cause(never) != mutex.ErrLost {
			t.Errorf("the ctx of one that never led: %v", context.Cause(never))
		}
		becomesLeader(t, ours)
		ctx, stop := ours.Context(t.Context())
		defer stop()
		rdb.Del(t.Context(), "leader")
		<-ctx.Done()
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the job's ctx: %v", context.Cause(ctx))
		}
		becomesLeader(t, ours) // again
	})
}
