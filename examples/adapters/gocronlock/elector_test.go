package gocronlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gocronlock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/rival"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["leader"] = leader }

const brief = 300 * time.Millisecond // a TTL

// newElector returns the elector of a process of its own.
func newElector(t *testing.T, rdb *redis.Client, ttl time.Duration) *gocronlock.Elector {
	lock := mutex.New(rival.Of(t, rdb), "leader")
	lock.TTL = ttl
	e := gocronlock.NewElector(lock)
	t.Cleanup(func() { _ = e.Resign() })
	return e
}

func TestElector(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newElector(t, rdb, mutex.DefaultTTL), newElector(t, rdb, mutex.DefaultTTL)
		check := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		check("nobody leads, and resigns", ours.Resign(), nil)
		check("the first", ours.IsLeader(t.Context()), nil)
		check("the second", theirs.IsLeader(t.Context()), mutex.ErrLocked)
		check("the first again", ours.IsLeader(t.Context()), nil)
		check("the second resigns", theirs.Resign(), nil)
		check("the first, thereafter", ours.IsLeader(t.Context()), nil)
		check("the first resigns", ours.Resign(), nil)
		check("the second, thereafter", theirs.IsLeader(t.Context()), nil)
		check("the first, thereafter", ours.IsLeader(t.Context()), mutex.ErrLocked)
	})
}

func TestElectorLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newElector(t, rdb, brief), newElector(t, rdb, mutex.DefaultTTL)
		never, stop := ours.Context(t.Context())
		defer stop()
		if context.Cause(never) != mutex.ErrLost {
			t.Errorf("the ctx of one who never led: %v", context.Cause(never))
		}
		if err := ours.IsLeader(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := ours.Context(t.Context())
		defer stop()
		rdb.Del(t.Context(), "leader")
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Error("the job is not told")
		}
		if context.Cause(ctx) != mutex.ErrLost {
			t.Errorf("the job's ctx: %v", context.Cause(ctx))
		}
		if err := theirs.IsLeader(t.Context()); err != nil {
			t.Errorf("the next: %v", err)
		}
		if err := ours.IsLeader(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("who has lost: %v", err)
		}
	})
}

// TestElectorCancelled asks a Redis that does not answer, and meanwhile once more.
func TestElectorCancelled(t *testing.T) {
	s := redistest.Start(t)
	rdb, sent := s.Client(t), new(redistest.Requests)
	rdb.AddHook(sent)
	e := gocronlock.NewElector(mutex.New(rdb, "leader"))
	s.Pause()
	defer s.Continue()
	asked := make(chan error)
	long, cancel := context.WithCancel(t.Context())
	go func() { asked <- e.IsLeader(long) }()
	redistest.Eventually(t, 5*time.Second, func() bool { return sent.Load() > 0 }, "Redis is not asked")
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	start := time.Now()
	if err := e.IsLeader(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("IsLeader: %v", err)
	}
	redistest.CheckDuration(t, "a Redis that does not answer", start, 50*time.Millisecond, 200*time.Millisecond)
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("IsLeader: %v", err)
	}
}

// leader is a process that leads until it is killed.
func leader() {
	lock := mutex.New(rival.Client(), "leader")
	lock.TTL = brief
	fmt.Println(gocronlock.NewElector(lock).IsLeader(context.Background()))
	<-context.Background().Done()
}

func TestElectorKilled(t *testing.T) {
	s, w := rival.Spawn(t, "leader")
	e := newElector(t, s.Client(t), brief)
	w.Kill()
	start := time.Now()
	redistest.Eventually(t, 5*time.Second, func() bool { return e.IsLeader(t.Context()) == nil }, "nobody leads")
	redistest.CheckDuration(t, "the leader is dead", start, brief, 200*time.Millisecond)
}
