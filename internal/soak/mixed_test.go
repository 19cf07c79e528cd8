package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestMixedFleet has baton and those that it is to replace lock one key at the same
// time, each by its own calls: they exclude one another, all of them get it, and
// nobody takes it from another.
func TestMixedFleet(t *testing.T) {
	const key, ttl = "orders", 20 * time.Second // nobody's runs out
	s := redistest.Start(t)
	type lock func(context.Context) (unlock func() error, err error)
	systems := map[string]func() lock{
		"baton": func() lock {
			m := mutex.New(s.Client(t), key)
			return func(ctx context.Context) (func() error, error) {
				l, err := m.LockContext(ctx)
				if err != nil {
					return nil, err
				}
				return l.Unlock, nil
			}
		},
		"redislock": func() lock {
			c := redislock.New(s.Client(t))
			return func(ctx context.Context) (func() error, error) {
				l, err := c.Obtain(ctx, key, ttl, &redislock.Options{RetryStrategy: redislock.LinearBackoff(retry)})
				if err != nil {
					return nil, err
				}
				return func() error { return l.Release(ctx) }, nil
			}
		},
		"redsync": func() lock {
			m := redsync.New(goredis.NewPool(s.Client(t))).NewMutex(key,
				redsync.WithExpiry(ttl), redsync.WithTries(math.MaxInt), redsync.WithRetryDelay(retry))
			return func(ctx context.Context) (func() error, error) {
				return func() error {
					held, err := m.UnlockContext(ctx)
					if err == nil && !held {
						err = errNotHeld
					}
					return err
				}, m.LockContext(ctx)
			}
		},
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var inside, holds atomic.Int64
	var workers sync.WaitGroup
	const each = 15
	for system, open := range systems {
		for range 2 {
			lock := open()
			workers.Go(func() {
				for range each {
					unlock, err := lock(ctx)
					if err != nil {
						t.Errorf("%s: %v", system, err)
						return
					}
					if inside.Add(1) != 1 {
						t.Errorf("%s is in together with another", system)
					}
					n := holds.Load()
					time.Sleep(rand.N(2 * time.Millisecond)) // the work
					holds.Store(n + 1)
					inside.Add(-1)
					if err := unlock(); err != nil {
						t.Errorf("%s: unlock: %v", system, err)
					}
					time.Sleep(rand.N(10 * time.Millisecond)) // those who poll need a moment in which nobody waits
				}
			})
		}
	}
	workers.Wait()
	if n := holds.Load(); !t.Failed() && n != int64(len(systems)*2*each) {
		t.Errorf("%d holds, of which %d were counted: the others were lost", len(systems)*2*each, n)
	}
}

// TestMixedRueidislock is the same for rueidislock, which has one key if the majority is
// of one, and makes its name. They take turns: when both wait, it can miss that the
// lock is free.
func TestMixedRueidislock(t *testing.T) {
	s := redistest.Start(t)
	theirs, err := rueidislock.NewLocker(rueidislock.LockerOption{
		KeyMajority: 1, NoLoopTracking: true, KeyValidity: time.Minute, TryNextAfter: 10 * time.Second,
		ClientOption: rueidis.ClientOption{InitAddress: []string{s.Addr()}, ClientSetInfo: rueidis.DisableClientSetInfo},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours := mutex.New(s.Client(t), "rueidislock:0:orders")

	for range 2 {
		l, err := ours.TryLockContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := theirs.TryWithContext(t.Context(), "orders"); !errors.Is(err, rueidislock.ErrNotLocked) {
			t.Errorf("theirs while ours is held: %v", err)
		}
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
		held, release, err := theirs.TryWithContext(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("ours while theirs is held: %v", err)
		}
		if held.Err() != nil {
			t.Error("theirs was lost")
		}
		release()
	}
}
