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

const shortTTL = 300 * time.Millisecond

// newLocker returns a locker with a client of its own, like another process.
func newLocker(t *testing.T, rdb *redis.Client) *certmagiclock.Locker {
	return certmagiclock.New(mutex.NewPool(adaptertest.NewClient(t, rdb), "certmagic:"))
}

func TestLocker(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newLocker(t, rdb), newLocker(t, rdb)
		if err := ours.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if ok, err := theirs.TryLock(t.Context(), "a"); ok || err != nil {
			t.Errorf("TryLock of a held name: %v, %v", ok, err)
		}
		if ok, err := theirs.TryLock(t.Context(), "b"); !ok || err != nil {
			t.Errorf("TryLock of another name: %v, %v", ok, err)
		}
		for _, l := range []*certmagiclock.Locker{ours, theirs} { // whether this locker or the other one holds it
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := l.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lock of a held name: %v", err)
			}
		}
		if err := theirs.Unlock(t.Context(), "a"); err == nil {
			t.Error("Unlock of another locker's name: nil")
		}
		got := make(chan error)
		go func() { got <- theirs.Lock(t.Context(), "a") }()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ours.Unlock(cancelled, "a"); err != nil { // it is released even though ctx is done
			t.Errorf("Unlock: %v", err)
		}
		if err := ours.Unlock(t.Context(), "a"); err == nil {
			t.Error("Unlock of an unlocked name: nil")
		}
		if err := <-got; err != nil {
			t.Errorf("Lock of an unlocked name: %v", err)
		}
		if ok, err := ours.TryLock(cancelled, "c"); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("TryLock: %v, %v", ok, err)
		}
		if err := errors.Join(theirs.Unlock(t.Context(), "a"), theirs.Unlock(t.Context(), "b")); err != nil {
			t.Error(err)
		}
	})
}

// TestLockerLost: a locker that has lost a name must not unlock the lock of the next holder.
func TestLockerLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newLocker(t, rdb), newLocker(t, rdb)
		if err := ours.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		rdb.Del(t.Context(), "certmagic:a")
		if err := theirs.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := ours.Unlock(t.Context(), "a"); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Unlock of a lost name: %v", err)
		}
		if ok, err := newLocker(t, rdb).TryLock(t.Context(), "a"); ok || err != nil {
			t.Errorf("TryLock of the next holder's name: %v, %v", ok, err)
		}
		if err := theirs.Unlock(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

// TestLockerLostInside: two goroutines of one locker hold a name, because the first has lost it.
func TestLockerLostInside(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		pool := mutex.NewPool(rdb, "certmagic:")
		pool.TTL = shortTTL
		l := certmagiclock.New(pool)
		if err := l.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
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
