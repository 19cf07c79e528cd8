package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultLost loses one command or its reply (rows 31 and 32): of an acquire, a try, a release and a
// renewal.
func TestFaultLost(t *testing.T) {
	t.Parallel()
	runTogether(t, kit.Losses, func(t *testing.T, f kit.Loss) {
		s, p := kit.StartWithProxy(t)
		rdb := p.Client(t, kit.Impatient)
		m := mutexOf(rdb, 3*time.Second)
		other := mutexOf(s.Client(t), time.Second)
		unlock(t, lock(t, other)) // loads the scripts
		lose := func() { f.Lose(p) }

		// Redis replies to the repeated request with the same grant and fence.
		lose()
		start := time.Now()
		l := lock(t, m)
		checkBound(t, "to lock", start, f.Wait)
		if got := s.Do(t, "GET", "baton:{key}:fence"); got != fmt.Sprint(l.Fence()/lease.FencesPerGrant) {
			t.Errorf("the lease has fence %d, and Redis has %v", l.Fence()/lease.FencesPerGrant, got)
		}
		unlock(t, l)

		lose()
		start = time.Now()
		if l, err := m.TryLockContext(t.Context()); err == nil { // the request was repeated
			unlock(t, l)
		} else if errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try without a reply returned %v", err)
		}
		checkBound(t, "to try", start, f.Wait)
		unlock(t, lockWithin(t, "to lock after the try", other, 0))

		l = lock(t, m)
		next := enqueue(t, s, other, 1)
		lose()
		start = time.Now()
		unlock(t, l) // must not return ErrLost
		checkBound(t, "to unlock", start, f.Wait)
		unlock(t, receive(t, "the hand-over", next, 0))

		const ttl = 2 * time.Second
		l = lock(t, mutexOf(rdb, ttl))
		lose()
		expectKept(t, l, ttl+ttl/10)
		unlock(t, l)

		if n := f.Count(p.Faults()); n != 4 {
			t.Errorf("the fault took place %d times", n)
		}
		expectNothingLeft(t, s, 0)
	})
}

// TestFaultUnlockSilent loses the reply to a release. The client would wait for it longer than the lease
// lasts (row 32), so another attempt is made.
func TestFaultUnlockSilent(t *testing.T) {
	t.Parallel()
	const ttl = 1200 * time.Millisecond
	s, p := kit.StartWithProxy(t)
	warm(t, s)
	l := lock(t, mutexOf(p.Client(t), ttl))
	p.LoseNextReply("evalsha")
	start := time.Now()
	unlock(t, l)
	checkBound(t, "to unlock", start, ttl/3)
	if p.Faults().RepliesLost != 1 {
		t.Error("no reply was lost")
	}
	expectNothingLeft(t, s, 0)
}

// TestFaultTwice runs each script twice (row 33). The second run changes nothing.
func TestFaultTwice(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var clients []*redis.Client
	for range 3 {
		rdb := s.Client(t)
		rdb.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if err := next(ctx, cmd); err != nil {
				return err
			}
			return next(ctx, cmd.Clone())
		}))
		clients = append(clients, rdb)
	}
	l := lock(t, mutexOf(clients[0], ample))
	if got := s.Do(t, "GET", "baton:{key}:fence"); got != fmt.Sprint(l.Fence()/lease.FencesPerGrant) {
		t.Errorf("the lease has fence %d, and Redis has %v", l.Fence()/lease.FencesPerGrant, got)
	}
	next := enqueue(t, s, mutexOf(clients[1], ample), 1)
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 0))
	c := contend(t, ample, clients...)
	c.more(200, 2*poll)
	c.end()
	if c.lost > 0 {
		t.Errorf("%d holds were lost", c.lost)
	}
	expectNothingLeft(t, s, poll)
}

// TestFaultLate runs an acquire after its caller has given up, and after the release that undoes it (row
// 34). The late grant is not renewed.
func TestFaultLate(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	unlock(t, lock(t, mutexOf(s.Client(t), ttl))) // loads the scripts
	rdb := s.Client(t)
	ctx, cancel := context.WithCancel(t.Context())
	var first atomic.Bool
	run, ran := make(chan struct{}), make(chan error, 1)
	rdb.AddHook(redistest.Scripts(func(_ context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !first.CompareAndSwap(false, true) {
			return next(context.Background(), cmd)
		}
		go func(late redis.Cmder) {
			<-run
			ran <- next(context.Background(), late)
		}(cmd.Clone())
		<-ctx.Done()
		cmd.SetErr(context.DeadlineExceeded)
		return cmd.Err()
	}))
	before := s.Stats(t)
	c := mutexOf(rdb, ttl).LockChan(ctx)
	redistest.Eventually(t, poll, first.Load, "the lock is requested")
	cancel()
	if r := <-c; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("LockChan yields %v", r)
	}
	redistest.Eventually(t, poll, func() bool { return s.Stats(t).Since(before).Scripts() == 1 }, "the request is undone")
	close(run)
	if err := <-ran; err != nil || owner(t, s) == nil {
		t.Errorf("the late request was not executed: %v", err)
	}
	unlock(t, lockWithin(t, "to acquire the lock after the late grant", mutexOf(s.Client(t), ample), ttl))
	expectNothingLeft(t, s, 0)
}
