package gooselock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/examples/adapters/gooselock"
	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/adaptertest"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func TestExamples(t *testing.T) { adaptertest.Examples(t) }

// newLocker returns a locker with a client of its own, like another process.
func newLocker(t *testing.T, rdb *redis.Client) *gooselock.Locker {
	return gooselock.New(mutex.New(redistest.Sibling(t, rdb), "migrate"))
}

// TestUp runs goose itself with five lockers, each shared by two providers.
func TestUp(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		db := new(versions)
		var migrated, applied atomic.Int64
		lock := mutex.New(rdb, "migrate")
		migrate := func(ctx context.Context) error { // runs until all others wait, or a second migration starts
			for migrated.Add(1); migrated.Load() == 1; {
				if status, err := lock.Inspect(ctx); err != nil || status.Waiters == 4 {
					return err
				}
			}
			return nil
		}
		var fleet sync.WaitGroup
		for range 5 {
			locker := newLocker(t, rdb)
			for range 2 {
				p := provider(db, goose.WithLocker(locker), migrate)
				t.Cleanup(func() { p.Close() })
				fleet.Go(func() {
					results, err := p.Up(t.Context())
					if err != nil {
						t.Error(err)
					}
					applied.Add(int64(len(results)))
				})
			}
		}
		fleet.Wait()
		if migrated.Load() != 1 || applied.Load() != 1 {
			t.Errorf("%d migrations ran, and goose reported %d", migrated.Load(), applied.Load())
		}
	})
}

// TestUpLost: a migration that loses its lock is canceled.
func TestUpLost(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		locker := newLocker(t, rdb)
		ctx, cancel := context.WithCancelCause(t.Context())
		locker.Lost = cancel
		var cause error
		p := provider(new(versions), goose.WithLocker(locker), func(ctx context.Context) error {
			rdb.Del(t.Context(), "migrate")
			select {
			case <-ctx.Done():
				cause = context.Cause(ctx)
			case <-time.After(redistest.Patience):
			}
			return ctx.Err()
		})
		defer p.Close()
		if _, err := p.Up(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, mutex.ErrLost) || !errors.Is(cause, mutex.ErrLost) {
			t.Errorf("Up: %v; the migration's ctx: %v", err, cause)
		}
	})
}

// TestLocker: a Locker unlocks only its own lock, and waits until ctx is done.
func TestLocker(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		ours, theirs := newLocker(t, rdb), newLocker(t, rdb)
		ours.Lost = func(err error) { t.Errorf("Lost: %v", err) }
		adaptertest.Check(t, ours.Lock(t.Context(), nil))
		for _, l := range []*gooselock.Locker{ours, theirs} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := l.Lock(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lock of a held lock: %v", err)
			}
		}
		if err := theirs.Unlock(t.Context(), nil); err == nil {
			t.Error("Unlock of another Locker's lock: nil")
		}
		adaptertest.Check(t, ours.Unlock(t.Context(), nil))
		if err := errors.Join(theirs.Lock(t.Context(), nil), theirs.Unlock(t.Context(), nil)); err != nil {
			t.Error(err)
		}
	})
}
