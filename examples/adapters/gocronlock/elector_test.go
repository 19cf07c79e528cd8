package gocronlock_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/adaptertest"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const shortTTL = 300 * time.Millisecond

// runElector runs an elector with a client of its own, like another process. The function ends Run and returns its result.
func runElector(t *testing.T, rdb *redis.Client, ttl time.Duration) (*gocronlock.Elector, func() error) {
	election := mutex.NewElection(adaptertest.NewClient(t, rdb), "leader")
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

func waitForLeadership(t *testing.T, e *gocronlock.Elector) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return e.IsLeader(t.Context()) == nil }, "the elector leads")
}

func TestElector(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, stop := runElector(t, rdb, mutex.DefaultTTL)
		waitForLeadership(t, ours)
		theirs, stopTheirs := runElector(t, rdb, mutex.DefaultTTL)
		inspect := mutex.NewElection(rdb, "leader")
		redistest.Eventually(t, redistest.Patience, func() bool {
			s, err := inspect.Inspect(t.Context())
			return err == nil && s.Waiters == 1
		}, "the second elector campaigns")
		if err := theirs.IsLeader(t.Context()); err != gocronlock.ErrNotLeader {
			t.Errorf("IsLeader of the second: %v", err)
		}
		if err := stop(); err != nil {
			t.Errorf("Run of the first returned %v", err)
		}
		if err := ours.IsLeader(t.Context()); err != gocronlock.ErrNotLeader {
			t.Errorf("IsLeader of the first after its end: %v", err)
		}
		waitForLeadership(t, theirs)
		if err := stopTheirs(); err != nil {
			t.Errorf("Run of the second returned %v", err)
		}
		bad := gocronlock.NewElector(mutex.NewElection(nil, "leader"))
		if err := bad.Run(t.Context()); err == nil {
			t.Error("Run without a client returned nil")
		}
	})
}

func TestElectorLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, _ := runElector(t, rdb, shortTTL)
		neverLed, stop := gocronlock.NewElector(mutex.NewElection(rdb, "leader")).Context(t.Context())
		defer stop()
		if context.Cause(neverLed) != mutex.ErrLost {
			t.Errorf("the ctx of an elector that never led: %v", context.Cause(neverLed))
		}
		waitForLeadership(t, ours)
		ctx, stop := ours.Context(t.Context())
		defer stop()
		rdb.Del(t.Context(), "leader")
		<-ctx.Done()
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the job's ctx: %v", context.Cause(ctx))
		}
		waitForLeadership(t, ours) // again
	})
}
