package mutex_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// request asks for a lease in one of the ways there are.
type request func(ctx context.Context) (*mutex.Lease, error)

// TestSteps ends ctx before and after each command of each way to lock, has each
// command get lost, or come twice or late, and checks what the caller gets, and that
// another process can have the lock thereafter: at once if no command was hurt.
func TestSteps(t *testing.T) {
	received := func(f func(context.Context) <-chan mutex.Result) request {
		return func(ctx context.Context) (*mutex.Lease, error) {
			r := <-f(ctx)
			return r.Lease, r.Err
		}
	}
	all := map[string]func(rdb *redis.Client) request{
		"LockContext":             func(rdb *redis.Client) request { return mutex.New(rdb, "a").LockContext },
		"LockChan":                func(rdb *redis.Client) request { return received(mutex.New(rdb, "a").LockChan) },
		"TryLockContext":          func(rdb *redis.Client) request { return mutex.New(rdb, "a").TryLockContext },
		"RWMutex.LockContext":     func(rdb *redis.Client) request { return mutex.NewRW(rdb, "rw").LockContext },
		"RWMutex.LockChan":        func(rdb *redis.Client) request { return received(mutex.NewRW(rdb, "rw").LockChan) },
		"RWMutex.TryLockContext":  func(rdb *redis.Client) request { return mutex.NewRW(rdb, "rw").TryLockContext },
		"RWMutex.RLockContext":    func(rdb *redis.Client) request { return mutex.NewRW(rdb, "rw").RLockContext },
		"RWMutex.RLockChan":       func(rdb *redis.Client) request { return received(mutex.NewRW(rdb, "rw").RLockChan) },
		"RWMutex.TryRLockContext": func(rdb *redis.Client) request { return mutex.NewRW(rdb, "rw").TryRLockContext },
		"Pool.LockContext": func(rdb *redis.Client) request {
			return func(ctx context.Context) (*mutex.Lease, error) {
				return mutex.NewPool(rdb, "").LockContext(ctx, "a", "b")
			}
		},
		"Pool.LockChan": func(rdb *redis.Client) request {
			return received(func(ctx context.Context) <-chan mutex.Result { return mutex.NewPool(rdb, "").LockChan(ctx, "a", "b") })
		},
		"Pool.TryLockContext": func(rdb *redis.Client) request {
			return func(ctx context.Context) (*mutex.Lease, error) {
				return mutex.NewPool(rdb, "").TryLockContext(ctx, "a", "b")
			}
		},
	}
	for name, of := range all {
		try := strings.Contains(name, "Try")
		least := 6 // of what is held; each script is sent by its hash, and if need be whole
		if try {
			least = 4
		}
		t.Run(name, func(t *testing.T) {
			redistest.Steps(t, least, func(s *redistest.Step) { lockStep(s, of(s.Ours), rival(s, name), !try) })
		})
	}
}

// rival is the request of another process for what excludes every other.
func rival(s *redistest.Step, name string) request {
	if strings.HasPrefix(name, "RWMutex") {
		return mutex.NewRW(s.Theirs, "rw").LockContext
	}
	return func(ctx context.Context) (*mutex.Lease, error) {
		return mutex.NewPool(s.Theirs, "").LockContext(ctx, "a", "b")
	}
}

// lockStep makes our request, of what the rival holds for a while or of what is free.
func lockStep(s *redistest.Step, ours, rival request, held bool) {
	their := func() *mutex.Lease {
		l, err := rival(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		return l
	}
	var others sync.WaitGroup
	if held {
		l := their()
		others.Go(func() {
			time.Sleep(50 * time.Millisecond)
			unlock(s.T, l)
		})
	}
	var l *mutex.Lease
	err := s.Call(func(ctx context.Context) (err error) {
		l, err = ours(ctx)
		return err
	}, mutex.ErrLocked, redistest.ErrCut)
	if (l == nil) == (err == nil) {
		s.Fatalf("the call returns %v, %v", l, err)
	}
	if err == nil {
		time.Sleep(mutex.DefaultTTL / 2) // it is renewed
		if err := errors.Join(l.Err(), l.Unlock()); err != nil {
			s.Errorf("what was locked is lost, or cannot be unlocked: %v", err)
		}
	}
	others.Wait()
	start, bound := time.Now(), time.Millisecond
	if s.Faulty { // a ghost has one TTL, after it has come late
		bound += mutex.DefaultTTL + 3*time.Second
	}
	last := their()
	if took := time.Since(start); took > bound {
		s.Errorf("others get in %v after the end, want at most %v", took, bound)
	}
	unlock(s.T, last)
}
