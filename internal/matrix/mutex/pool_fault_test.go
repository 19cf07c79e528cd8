package mutex_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestPoolLate runs a request for two keys long after its caller was told that it
// failed. By then somebody of this process, who was in line behind it, holds one of
// them, and a stranger the other: neither loses it to that request, which gives
// back what it cannot have together.
func TestPoolLate(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	unlock(t, lockAll(t, mutex.NewPool(s.Client(t), "{p}:"), "a", "b")) // the scripts are known
	rdb := s.Client(t)
	var first atomic.Bool
	fail, run, ran := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	rdb.AddHook(hook(func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
		if !first.CompareAndSwap(false, true) {
			return next(ctx, cmd)
		}
		go func(late redis.Cmder) {
			<-run
			ran <- next(context.Background(), late)
		}(cmd.Clone())
		<-fail
		cmd.SetErr(context.DeadlineExceeded)
		return cmd.Err()
	}))
	p, stranger := mutex.NewPool(rdb, "{p}:"), mutex.NewPool(s.Client(t), "{p}:")
	both := p.LockChan(t.Context(), "a", "b")
	redistest.Eventually(t, poll, first.Load, "both are asked for")
	behind := p.LockChan(t.Context(), "a")
	b := lockAll(t, stranger, "b")
	close(fail)
	a := receive(t, "who was behind it", behind, poll)
	close(run)
	if err := <-ran; err != nil {
		t.Errorf("nothing was late: %v", err)
	}
	if l, err := stranger.TryLockContext(t.Context(), "a"); err != mutex.ErrLocked {
		t.Errorf("a is held, and a stranger gets %v, %v; its holder believes %v", l, err, a.Err())
	}
	unlock(t, a)
	unlock(t, b)
	unlock(t, receive(t, "both", both, poll))
	rests(t, s, 0)
}

// TestPoolReleaseLost loses the request that unlocks two keys, or its answer: when
// Unlock returns they are free, and nothing was lost.
func TestPoolReleaseLost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	here, there := mutex.NewPool(p.Client(t), "{p}:"), mutex.NewPool(s.Client(t), "{p}:")
	unlock(t, lockAll(t, there, "a", "b")) // the scripts are known
	for what, lose := range map[string]func(string){"request": p.CutNextRequest, "reply": p.CutNextReply} {
		l := lockAll(t, here, "a", "b")
		lose("evalsha")
		if err := l.Unlock(); err != nil {
			t.Errorf("%s lost: %v", what, err)
		}
		both, err := there.TryLockContext(t.Context(), "a", "b")
		if err != nil {
			t.Fatalf("%s lost: the keys are held when Unlock has returned: %v", what, err)
		}
		unlock(t, both)
	}
	if f := p.Fired(); f.RequestsCut != 1 || f.RepliesCut != 1 {
		t.Errorf("%+v", f)
	}
	rests(t, s, 0)
}
