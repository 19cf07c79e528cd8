package gocronlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestElectorLost: a loss cancels the job's ctx, and the elector campaigns again. Run resigns at its end.
func TestElectorLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		election := mutex.NewElection(redistest.Sibling(t, rdb), "leader")
		election.TTL = time.Second
		e := gocronlock.NewElector(election)
		ctx, cancel := e.Context(t.Context())
		defer cancel()
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the ctx of an elector that never led: %v", context.Cause(ctx))
		}
		run, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(run) }()
		untilLeads := func() {
			redistest.Eventually(t, redistest.Patience, func() bool { return e.IsLeader(t.Context()) == nil }, "the elector leads")
		}
		untilLeads()
		ctx, cancel = e.Context(t.Context())
		defer cancel()
		rdb.Del(t.Context(), "leader")
		<-ctx.Done()
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the job's ctx: %v", context.Cause(ctx))
		}
		untilLeads()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if l, err := election.Leader(t.Context()); !errors.Is(err, mutex.ErrNoLeader) {
			t.Errorf("after Run, the leader is %v, %v", l, err)
		}
		if err := gocronlock.NewElector(mutex.NewElection(nil, "leader")).Run(t.Context()); err == nil {
			t.Error("Run without a client returned nil")
		}
	})
}
