package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestMixedFleet locks one key with baton and other libraries at the same time, each with its own calls.
// They exclude one another, all of them get the lock, and none releases another's lock.
func TestMixedFleet(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var inside atomic.Int64
	var workers sync.WaitGroup
	for _, system := range []string{"baton", "redislock", "redsync"} {
		for range 2 {
			w := &worker{rdb: s.Client(t), plan: plan{TTL: 20 * time.Second}} // long enough that no lock expires
			lock := systems[system](w)("m0")
			workers.Go(func() {
				for range 15 {
					h, err := lock(ctx, lockRequest{weight: 1})
					if err != nil {
						t.Errorf("%s: %v", system, err)
						return
					}
					if inside.Add(1) != 1 {
						t.Errorf("%s holds the lock together with another client", system)
					}
					time.Sleep(rand.N(2 * time.Millisecond)) // the work
					inside.Add(-1)
					if err := h.release(); err != nil {
						t.Errorf("%s: unlock: %v", system, err)
					}
					time.Sleep(rand.N(10 * time.Millisecond)) // libraries that poll need a time without waiters
				}
			})
		}
	}
	workers.Wait()
}

// TestMixedRueidislock checks the same for rueidislock, which uses one key with KeyMajority 1, and chooses
// the key's name. The two lock alternately, because a waiting rueidislock can miss that the lock is free.
func TestMixedRueidislock(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	theirs := must(rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: time.Minute, TryNextAfter: 10 * time.Second,
		ClientOption: rueidis.ClientOption{InitAddress: []string{s.Addr()}, ClientSetInfo: rueidis.DisableClientSetInfo},
	}))
	defer theirs.Close()
	ours := mutex.New(s.Client(t), "rueidislock:0:orders")

	for range 2 {
		l, err := ours.TryLockContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := theirs.TryWithContext(t.Context(), "orders"); !errors.Is(err, rueidislock.ErrNotLocked) {
			t.Errorf("rueidislock while baton holds the lock: %v", err)
		}
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
		held, release, err := theirs.TryWithContext(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("baton while rueidislock holds the lock: %v", err)
		}
		if held.Err() != nil {
			t.Error("rueidislock lost its lock")
		}
		release()
	}
}
