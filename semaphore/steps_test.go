package semaphore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// TestSteps ends ctx before and after each command of each way to have permits, has
// each command get lost, or come twice or late, and checks what the caller gets, and
// that another process can have all permits thereafter: at once if no command was hurt.
func TestSteps(t *testing.T) {
	type request = func(s *semaphore.Weighted, ctx context.Context) (*semaphore.Lease, error)
	for name, ours := range map[string]request{
		"AcquireLease": func(s *semaphore.Weighted, ctx context.Context) (*semaphore.Lease, error) {
			return s.AcquireLease(ctx, 2)
		},
		"AcquireChan": func(s *semaphore.Weighted, ctx context.Context) (*semaphore.Lease, error) {
			r := <-s.AcquireChan(ctx, 2)
			return r.Lease, r.Err
		},
		"TryAcquireLease": func(s *semaphore.Weighted, ctx context.Context) (*semaphore.Lease, error) {
			return s.TryAcquireLease(ctx, 2)
		},
	} {
		for name, before := range map[string]struct{ theirs, ours int64 }{name: {2, 0}, name + " while holding": {1, 1}} {
			t.Run(name, func(t *testing.T) {
				redistest.Steps(t, 1, func(s *redistest.Step) {
					acquireStep(s, before.theirs, before.ours, func(w *semaphore.Weighted, ctx context.Context) (*semaphore.Lease, error) { return ours(w, ctx) })
				})
			})
		}
	}
}

// acquireStep requests 2 permits of 3, when others hold some, and we do.
func acquireStep(s *redistest.Step, theirs, ours int64, request func(*semaphore.Weighted, context.Context) (*semaphore.Lease, error)) {
	their, our := semaphore.NewWeighted(s.Theirs, "key", 3), semaphore.NewWeighted(s.Ours, "key", 3)
	var others sync.WaitGroup
	hold := func(w *semaphore.Weighted, n int64, d time.Duration) {
		if n > 0 {
			l := acquire(s.T, w, n)
			others.Go(func() {
				time.Sleep(d)
				release(s.T, l)
			})
		}
	}
	hold(their, theirs, 50*time.Millisecond)
	hold(our, ours, time.Second)
	var l *semaphore.Lease
	err := s.Call(func(ctx context.Context) (err error) {
		l, err = request(our, ctx)
		return err
	}, semaphore.ErrLocked, redistest.ErrCut)
	if (l == nil) == (err == nil) {
		s.Fatalf("the call returns %v, %v", l, err)
	}
	if err == nil {
		time.Sleep(semaphore.DefaultTTL / 2) // it is renewed
		if err := errors.Join(l.Err(), l.Release()); err != nil {
			s.Errorf("what was acquired is lost, or cannot be released: %v", err)
		}
	}
	others.Wait()
	start, bound := time.Now(), time.Millisecond
	if s.Faulty { // a ghost has one TTL, after it has come late
		bound += semaphore.DefaultTTL + 3*time.Second
	}
	all := acquire(s.T, their, 3)
	if took := time.Since(start); took > bound {
		s.Errorf("others get in %v after the end, want at most %v", took, bound)
	}
	release(s.T, all)
}

// TestLimiterSteps does the same to the waits of a Limiter: a turn that was not
// returned to the caller is another's.
func TestLimiterSteps(t *testing.T) {
	for name, ours := range map[string]func(l *semaphore.Limiter, ctx context.Context) error{
		"Wait":     (*semaphore.Limiter).Wait,
		"WaitChan": func(l *semaphore.Limiter, ctx context.Context) error { return <-l.WaitChan(ctx) },
	} {
		for _, waits := range []bool{false, true} {
			if waits {
				name += " for its turn"
			}
			t.Run(name, func(t *testing.T) {
				redistest.Steps(t, 1, func(s *redistest.Step) { waitStep(s, ours, waits) })
			})
		}
	}
}

// waitStep waits for a token, one of which comes each minute.
func waitStep(s *redistest.Step, ours func(*semaphore.Limiter, context.Context) error, waits bool) {
	their, our := semaphore.NewLimiter(s.Theirs, "key", semaphore.Every(time.Minute), 1), semaphore.NewLimiter(s.Ours, "key", semaphore.Every(time.Minute), 1)
	start, want := time.Now(), time.Duration(0) // when the next is to get its token
	if waits {
		if !their.Allow() {
			s.Fatal("the bucket is not full")
		}
		want += time.Minute
	}
	if err := s.Call(func(ctx context.Context) error { return ours(our, ctx) }); err == nil {
		want += time.Minute
	}
	if s.Faulty { // until the token is given back, or until what comes late has found that it was
		time.Sleep(time.Second)
	}
	if err := their.Wait(s.Context()); err != nil {
		s.Error(err)
	}
	if took := time.Since(start); took > want+2*time.Second || took < want-time.Millisecond {
		s.Errorf("the next token comes after %v, want %v", took, want)
	}
}
