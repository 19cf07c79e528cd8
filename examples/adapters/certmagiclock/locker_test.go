package certmagiclock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/certmagiclock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/rival"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func TestExamples(t *testing.T) { rival.Examples(t) }

const brief = 300 * time.Millisecond // a TTL

// newLocker returns the locker of a process of its own.
func newLocker(t *testing.T, rdb *redis.Client) *certmagiclock.Locker {
	return certmagiclock.New(mutex.NewPool(rival.Of(t, rdb), "certmagic:"))
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
		for _, l := range []*certmagiclock.Locker{ours, theirs} { // of what somebody else holds, too
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := l.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lock of a held name: %v", err)
			}
		}
		if err := theirs.Unlock(t.Context(), "a"); err == nil {
			t.Error("Unlock of what another holds: nil")
		}
		got := make(chan error)
		go func() { got <- theirs.Lock(t.Context(), "a") }()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ours.Unlock(cancelled, "a"); err != nil { // it is given back nevertheless
			t.Errorf("Unlock: %v", err)
		}
		if err := ours.Unlock(t.Context(), "a"); err == nil {
			t.Error("Unlock of what is not held: nil")
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

// TestLockerLost has two goroutines of a process believe that they hold a name, as
// one of them has lost it. No Unlock may give back what the other still needs.
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
			t.Errorf("Unlock of what is lost: %v", err)
		}
		if ok, err := newLocker(t, rdb).TryLock(t.Context(), "a"); ok || err != nil {
			t.Errorf("TryLock of what another has got: %v, %v", ok, err)
		}
		if err := theirs.Unlock(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}

func TestLockerLostInside(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		pool := mutex.NewPool(rdb, "certmagic:")
		pool.TTL = brief
		l := certmagiclock.New(pool)
		if err := l.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		rdb.Del(t.Context(), "certmagic:a")
		if err := l.Lock(t.Context(), "a"); err != nil { // when the loss is known
			t.Fatal(err)
		}
		if err := l.Unlock(t.Context(), "a"); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("the first Unlock: %v", err)
		}
		if ok, err := newLocker(t, rdb).TryLock(t.Context(), "a"); ok || err != nil {
			t.Errorf("TryLock with one still inside: %v, %v", ok, err)
		}
		if err := l.Unlock(t.Context(), "a"); err != nil {
			t.Errorf("the second Unlock: %v", err)
		}
	})
}
