package mutex_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRWMutexInside has goroutines share one RWMutex, and the key is taken away
// under those who are inside: whom they exclude waits for them all the same.
func TestRWMutexInside(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(m *mutex.RWMutex) (lock, unlock func(), try func() bool){
		"Writer": func(m *mutex.RWMutex) (lock, unlock func(), try func() bool) { return m.Lock, m.Unlock, m.TryLock },
		"Reader": func(m *mutex.RWMutex) (lock, unlock func(), try func() bool) { return m.RLock, m.RUnlock, m.TryRLock },
	}
	for first, a := range kinds {
		for second, b := range kinds {
			if first == "Reader" && second == "Reader" {
				continue // they do not exclude one another
			}
			t.Run(first+"Then"+second, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rdb := bubbleClient(t)
					m, other := rwOf(rdb, time.Second), rwOf(bubbleSibling(t, rdb), time.Second)
					lockA, unlockA, _ := a(m)
					lockB, unlockB, tryB := b(m)
					lockA()
					if first == "Reader" {
						lockA() // and both must leave
					}
					rdb.Del(t.Context(), "key", "baton:{key}:holders")
					time.Sleep(m.TTL)
					entered := make(chan struct{})
					go func() {
						lockB()
						close(entered)
					}()
					waits := func() {
						t.Helper()
						time.Sleep(time.Minute)
						select {
						case <-entered:
							t.Fatal("two goroutines that exclude one another are inside")
						default:
						}
						if tryB() {
							t.Fatal("a try gets inside")
						}
						if !other.TryLock() {
							t.Fatal("the lock is held for somebody who cannot use it")
						}
						other.Unlock()
					}
					waits()
					if first == "Reader" {
						unlockA()
						waits()
					}
					l := wlock(t, other)
					unlockA() // late: it ends nothing
					time.Sleep(time.Minute)
					if l.Err() != nil {
						t.Errorf("a late Unlock has ended another's hold: %v", l.Err())
					}
					select {
					case <-entered:
						t.Fatal("two processes are inside")
					default:
					}
					unlock(t, l)
					<-entered
					mustPanic(t, "of unlocked RWMutex", func() { unlockA(); unlockA() })
					if first != second {
						unlockB()
					}
				})
			})
		}
	}
}

// TestRWMutexReadersAfterLoss loses a reader: another reader gets in beside it, and
// the first to leave ends what was lost.
func TestRWMutexReadersAfterLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := rwOf(rdb, time.Second), rwOf(bubbleSibling(t, rdb), time.Second)
		m.RLock()
		rdb.Del(t.Context(), "key", "baton:{key}:holders")
		time.Sleep(m.TTL)
		m.RLock()
		m.RUnlock() //lint:ignore SA2001 whose hold it ends is the question
		if other.TryLock() {
			t.Error("the reader that is left does not hold the lock")
		}
		m.RUnlock()
		if !other.TryLock() {
			t.Error("the lock is held though all readers have left")
		} else {
			other.Unlock()
		}
	})
}

func TestRWMutexDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := mutex.NewRW(rdb, "key"), mutex.NewRW(bubbleSibling(t, rdb), "key")
		failed := errors.New("failed")
		for _, do := range []func(context.Context, func(context.Context) error) error{m.Do, m.RDo} {
			if err := do(t.Context(), func(context.Context) error {
				if other.TryLock() {
					t.Error("f runs without the lock")
				}
				return failed
			}); !errors.Is(err, failed) {
				t.Errorf("Do returned %v", err)
			}
			if err := do(t.Context(), func(ctx context.Context) error {
				rdb.Del(ctx, "key", "baton:{key}:holders")
				<-ctx.Done()
				return context.Cause(ctx)
			}); !errors.Is(err, mutex.ErrLost) {
				t.Errorf("Do returned %v after a loss", err)
			}
			mustPanic(t, "oh", func() { _ = do(t.Context(), func(context.Context) error { panic("oh") }) })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := do(ctx, func(context.Context) error { t.Error("f was called"); return nil }); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if err := m.RDo(t.Context(), func(context.Context) error {
			if !other.TryRLock() {
				t.Error("RDo keeps readers out")
			} else {
				other.RUnlock()
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if !other.TryLock() {
			t.Error("the lock is still held")
		} else {
			other.Unlock()
		}
	})
}
