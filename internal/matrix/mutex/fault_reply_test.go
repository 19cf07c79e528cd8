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

// TestFaultLost loses one command or its answer (rows 31 and 32): an acquire, a
// try, a release, a renewal.
func TestFaultLost(t *testing.T) {
	t.Parallel()
	together(t, kit.Losses, func(t *testing.T, f kit.Loss) {
		s, p := kit.Proxied(t)
		rdb := p.Client(t, kit.Impatient)
		m := mutexOf(rdb, 3*time.Second)
		other := mutexOf(s.Client(t), time.Second)
		unlock(t, lock(t, other)) // the scripts are known
		lose := func() { f.Lose(p) }

		// Asked again, Redis gives the same grant: one fence, which it counts.
		lose()
		start := time.Now()
		l := lock(t, m)
		bounded(t, "to lock", start, f.Wait)
		if got := s.Do(t, "GET", "baton:{key}:fence"); got != fmt.Sprint(l.Fence()/lease.FencesPerGrant) {
			t.Errorf("the fence is %d, and %v has been given since", l.Fence()/lease.FencesPerGrant, got)
		}
		unlock(t, l)

		lose()
		start = time.Now()
		if l, err := m.TryLockContext(t.Context()); err == nil { // it has asked again
			unlock(t, l)
		} else if errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try that could not know: %v", err)
		}
		bounded(t, "to try", start, f.Wait)
		unlock(t, lockWithin(t, "to lock what a try has left", other, 0))

		l = lock(t, m)
		next := queued(t, s, other, 1)
		lose()
		start = time.Now()
		unlock(t, l) // and not ErrLost
		bounded(t, "to unlock", start, f.Wait)
		unlock(t, receive(t, "the hand-over", next, 0))

		const ttl = 2 * time.Second
		l = lock(t, mutexOf(rdb, ttl))
		lose()
		keeps(t, l, ttl+ttl/10)
		unlock(t, l)

		if n := f.Fired(p.Faults()); n != 4 {
			t.Errorf("the fault took place %d times", n)
		}
		rests(t, s, 0)
	})
}

// TestFaultUnlockSilent loses the answer to a release, and the client would wait
// for it longer than the lease lasts (row 32): another attempt finds out.
func TestFaultUnlockSilent(t *testing.T) {
	t.Parallel()
	const ttl = 1200 * time.Millisecond
	s, p := kit.Proxied(t)
	warm(t, s)
	l := lock(t, mutexOf(p.Client(t), ttl))
	p.LoseNextReply("evalsha")
	start := time.Now()
	unlock(t, l)
	bounded(t, "to unlock", start, ttl/3)
	if p.Faults().RepliesLost != 1 {
		t.Error("no reply was lost")
	}
	rests(t, s, 0)
}

// TestFaultTwice runs each script twice (row 33): the second time nothing changes.
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
		t.Errorf("the fence is %d, and %v has been given since", l.Fence()/lease.FencesPerGrant, got)
	}
	next := queued(t, s, mutexOf(clients[1], ample), 1)
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 0))
	c := gather(t, ample, clients...)
	c.more(200, 2*poll)
	c.leave()
	if c.lost > 0 {
		t.Errorf("%d holds were lost", c.lost)
	}
	rests(t, s, poll)
}

// TestFaultLate runs an acquire when its caller has long given up, and what would
// undo it has run before (row 34): nobody renews it.
func TestFaultLate(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	unlock(t, lock(t, mutexOf(s.Client(t), ttl))) // the scripts are known
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
	redistest.Eventually(t, poll, first.Load, "the lock is asked for")
	cancel()
	if r := <-c; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("LockChan yields %v", r)
	}
	redistest.Eventually(t, poll, func() bool { return s.Stats(t).Since(before).Scripts() == 1 }, "the request is undone")
	close(run)
	if err := <-ran; err != nil || owner(t, s) == nil {
		t.Errorf("nothing was late: %v", err)
	}
	unlock(t, lockWithin(t, "to wait for the end of what was late", mutexOf(s.Client(t), ample), ttl))
	rests(t, s, 0)
}
