package certmagiclock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/certmagiclock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/adaptertest"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func TestExamples(t *testing.T) { adaptertest.Examples(t) }

// newLocker returns a locker with a client of its own, like another process.
func newLocker(t *testing.T, rdb *redis.Client) *certmagiclock.Locker {
	return certmagiclock.New(mutex.NewPool(redistest.Sibling(t, rdb), "certmagic:"))
}

func TestLocker(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newLocker(t, rdb), newLocker(t, rdb)
		ctx := t.Context()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		adaptertest.Check(t, ours.Lock(ctx, "a"))
		if ok, err := theirs.TryLock(ctx, "a"); ok || err != nil {
			t.Errorf("TryLock of a held name: %v, %v", ok, err)
		}
		if ok, err := theirs.TryLock(ctx, "b"); !ok || err != nil {
			t.Errorf("TryLock of another name: %v, %v", ok, err)
		}
		if ok, err := ours.TryLock(cancelled, "c"); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("TryLock: %v, %v", ok, err)
		}
		if err := theirs.Unlock(ctx, "a"); err == nil {
			t.Error("Unlock of another locker's name: nil")
		}
		got := make(chan error)
		go func() { got <- theirs.Lock(ctx, "a") }()
		if err := ours.Unlock(cancelled, "a"); err != nil { // it is released even though ctx is done
			t.Errorf("Unlock: %v", err)
		}
		if err := ours.Unlock(ctx, "a"); err == nil {
			t.Error("Unlock of an unlocked name: nil")
		}
		adaptertest.Check(t, errors.Join(<-got, theirs.Unlock(ctx, "a"), theirs.Unlock(ctx, "b")))
	})
}

// TestLockerLost: two goroutines of one locker hold a name, because the first has lost it. The first
// must not unlock the lock of the second.
func TestLockerLost(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		pool := mutex.NewPool(rdb, "certmagic:")
		pool.TTL = 300 * time.Millisecond
		l := certmagiclock.New(pool)
		adaptertest.Check(t, l.Lock(t.Context(), "a"))
		rdb.Del(t.Context(), "certmagic:a")
		pool.TTL = mutex.DefaultTTL
		if err := l.Lock(t.Context(), "a"); err != nil { // returns when the loss is known
			t.Fatal(err)
		}
		if err := l.Unlock(t.Context(), "a"); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("the first Unlock: %v", err)
		}
		if ok, err := newLocker(t, rdb).TryLock(t.Context(), "a"); ok || err != nil {
			t.Errorf("TryLock while the second holds it: %v, %v", ok, err)
		}
		if err := l.Unlock(t.Context(), "a"); err != nil {
			t.Errorf("the second Unlock: %v", err)
		}
	})
}
