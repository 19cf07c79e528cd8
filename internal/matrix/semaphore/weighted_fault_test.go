package semaphore_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

// The tests whose names begin with TestFaultWeighted inject the faults that a
// semaphore must survive, and hold what is then seen against the bound that
// PROTOCOL.md promises.

// silence is how long the clients of these tests wait for an answer.
const silence = 300 * time.Millisecond

type loss struct {
	lose  func(*redistest.Proxy)
	fired func(redistest.Faults) int64
	wait  time.Duration
}

// losses are the ways in which one command, or its answer, gets lost, and for
// how long a client waits that is not told.
var losses = map[string]loss{
	"RequestCut": {func(p *redistest.Proxy) { p.CutNextRequest("evalsha") }, func(f redistest.Faults) int64 { return f.RequestsCut }, 0},
	"ReplyCut":   {func(p *redistest.Proxy) { p.CutNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesCut }, 0},
	"ReplyLost":  {func(p *redistest.Proxy) { p.LoseNextReply("evalsha") }, func(f redistest.Faults) int64 { return f.RepliesLost }, silence},
}

// TestFaultWeightedLost loses a command or its answer, whatever it is: nothing is
// counted twice.
func TestFaultWeightedLost(t *testing.T) {
	t.Parallel()
	together(t, losses, func(t *testing.T, f loss) {
		s := redistest.Start(t)
		p := redistest.NewProxy(t, s.Addr())
		rdb := s.Client(t)
		sem := weightedOf(p.Client(t, func(o *redis.Options) { o.ReadTimeout = silence }), 10, 3*time.Second)
		release(t, acquire(t, weightedOf(rdb, 10, ample), 1)) // the scripts are known
		step := func(what string, do func(), want ...int64) {
			t.Helper()
			f.lose(p)
			start := time.Now()
			do()
			bounded(t, what, start, 2*f.wait) // a busy machine may take the next answer for lost, too
			weighs(t, rdb, what, want...)
		}
		var l *semaphore.Lease
		step("to acquire", func() { must(sem.Acquire(t.Context(), 3)) }, 3)
		step("to raise", func() { l = acquire(t, sem, 2) }, 5)
		step("to raise again", func() { must(sem.Acquire(t.Context(), 4)) }, 9)
		step("to lower", func() { sem.Release(2) }, 7)
		step("to lower by a lease", func() { release(t, l) }, 5)
		before := f.fired(p.Faults())
		f.lose(p)
		redistest.Eventually(t, 3*time.Second, func() bool { return f.fired(p.Faults()) > before }, "it is renewed")
		weighs(t, rdb, "to renew", 5)
		step("to lower by portions", func() { sem.Release(3) }, 2)
		step("to release", func() { sem.Release(2) })

		f.lose(p)
		if sem.TryAcquire(1) { // it has asked again
			sem.Release(1)
		}
		redistest.Eventually(t, f.wait+leeway, func() bool { return len(members(t, rdb)) == 0 }, "a try leaves nothing")
		must(sem.Acquire(t.Context(), 4))
		f.lose(p)
		if sem.TryAcquire(1) { // it has asked again
			sem.Release(1)
		}
		redistest.Eventually(t, f.wait+leeway, func() bool { return state(t, rdb, 3) == 4 }, "a try for more leaves nothing")
		sem.Release(4)
		if n := f.fired(p.Faults()); n != 10 {
			t.Errorf("the fault took place %d times", n)
		}
		rests(t, rdb, poll)
	})
}

// hook changes how a client runs its scripts.
type hook func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error

func (h hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name != "evalsha" && name != "eval" {
			return next(ctx, cmd)
		}
		return h(next, ctx, cmd)
	}
}

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestFaultWeightedTwice runs each script twice, and all that were ever run once
// more, in each order, whenever something has changed: nothing else does.
func TestFaultWeightedTwice(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		plain, other := sibling(t, rdb), sibling(t, rdb)
		var mu sync.Mutex
		var all []redis.Cmder
		double := hook(func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			mu.Lock()
			defer mu.Unlock()
			if err := next(ctx, cmd); err != nil {
				return err
			}
			all = append(all, cmd.Clone())
			return next(ctx, cmd.Clone())
		})
		rdb.AddHook(double)
		again := func(when string, want ...int64) {
			t.Helper()
			weighs(t, plain, when, want...)
			mu.Lock()
			defer mu.Unlock()
			for i := range all {
				for _, cmd := range []redis.Cmder{all[i], all[len(all)-1-i]} {
					_ = plain.Process(t.Context(), cmd.Clone())
				}
			}
			weighs(t, plain, when+", and all again", want...)
		}
		sem := weightedOf(rdb, 10, ample)
		must(sem.Acquire(t.Context(), 3))
		again("acquired", 3)
		must(sem.Acquire(t.Context(), 2))
		again("raised", 5)
		sem.Release(4)
		again("lowered", 1)
		rival := acquire(t, weightedOf(other, 10, ample), 8)
		more := queued(t, plain, sem, 2, 1)
		again("queued", 1, 8)
		release(t, rival)
		last := <-more
		must(last.Err)
		again("handed over", 3)
		sem.Release(1)
		release(t, acquire(t, sem, 1))
		again("lowered again", 2)
		release(t, last.Lease)
	})
}

// TestFaultWeightedMessages loses the messages of a hand-over, or sends each
// twice: it takes a poll, or nothing, and counts once.
func TestFaultWeightedMessages(t *testing.T) {
	t.Parallel()
	type fault struct {
		set   func(*redistest.Proxy)
		fired func(redistest.Faults) int64
		wait  time.Duration
	}
	together(t, map[string]fault{
		"Lost":  {func(p *redistest.Proxy) { p.DropMessages(2) }, func(f redistest.Faults) int64 { return f.MessagesDropped }, poll},
		"Twice": {func(p *redistest.Proxy) { p.DuplicateMessages(true) }, func(f redistest.Faults) int64 { return f.MessagesDuplicated }, 0},
		"Late":  {func(p *redistest.Proxy) { p.DelayMessages(100 * time.Millisecond) }, func(f redistest.Faults) int64 { return f.MessagesDelayed }, 100 * time.Millisecond},
		"Deaf":  {func(p *redistest.Proxy) { p.DropSubscribers() }, func(f redistest.Faults) int64 { return f.SubscribersDropped }, poll},
	}, func(t *testing.T, f fault) {
		s := redistest.Start(t)
		p := redistest.NewProxy(t, s.Addr())
		rdb := s.Client(t)
		holder := weightedOf(rdb, 10, ample)
		a, b := weightedOf(p.Client(t), 10, ample), weightedOf(p.Client(t), 10, ample)
		held := acquire(t, holder, 8)
		must(a.Acquire(t.Context(), 2))
		x, y := queued(t, rdb, a, 3, 1), queued(t, rdb, b, 4, 2)
		f.set(p)
		release(t, held)
		l := receive(t, "3 more", x, f.wait)
		m := receive(t, "4", y, f.wait)
		if f.fired(p.Faults()) == 0 {
			t.Error("nothing was done to a message")
		}
		time.Sleep(150 * time.Millisecond) // what is late comes now
		weighs(t, rdb, "handed over", 5, 4)
		release(t, l)
		a.Release(2)
		release(t, m)
		rests(t, rdb, poll)
	})
}

// TestFaultWeightedRestart restarts Redis empty: holders are told at their next
// renewal, who waits goes on, and the fences are above the old ones.
func TestFaultWeightedRestart(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	sem := weightedOf(s.Client(t), 10, ttl)
	must(sem.Acquire(t.Context(), 3))
	l := acquire(t, sem, 6)
	next := queued(t, s.Client(t), weightedOf(s.Client(t), 10, ample), 2, 1)
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	m := receive(t, "to go on waiting", next, poll)
	loses(t, l, start, ttl/3)
	if m.Fence() <= l.Fence() {
		t.Errorf("fence %d after %d", m.Fence(), l.Fence())
	}
	rdb := s.Client(t)
	weighs(t, rdb, "no renewal makes a hold again", 2)
	sem.Release(3)
	weighs(t, rdb, "a late Release harms nobody", 2)
	keeps(t, m, ttl/4)
	release(t, m)
	rests(t, rdb, 0)
}

// TestFaultWeightedAway has no Redis: Acquire waits for it, a try fails, and
// who waits no longer returns at once even if nothing answers.
func TestFaultWeightedAway(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	sem := weightedOf(p.Client(t), 10, ample)
	release(t, acquire(t, sem, 1))

	p.Refuse(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := sem.Acquire(ctx, 1)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acquire returned %v", err)
	}
	bounded(t, "to give up", start, 50*time.Millisecond)
	if sem.TryAcquire(1) {
		t.Error("a try succeeds without Redis")
	}
	c := sem.AcquireChan(t.Context(), 2)
	excludes(t, "Redis is away", c, 50*time.Millisecond)
	p.Refuse(false)
	l := receive(t, "to find Redis back", c, poll)

	p.Blackhole(true)
	for name, f := range map[string]func(context.Context) error{
		"Acquire":         func(ctx context.Context) error { return sem.Acquire(ctx, 1) },
		"AcquireLease":    func(ctx context.Context) error { _, err := sem.AcquireLease(ctx, 9); return err },
		"TryAcquireLease": func(ctx context.Context) error { _, err := sem.TryAcquireLease(ctx, 1); return err },
		"AcquireChan":     func(ctx context.Context) error { return (<-sem.AcquireChan(ctx, 1)).Err },
		"Do":              func(ctx context.Context) error { return sem.Do(ctx, 1, called) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		start := time.Now()
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s returned %v", name, err)
		}
		if took := time.Since(start) - 20*time.Millisecond; took > leeway+redistest.Allowance(start) {
			t.Errorf("%s returned %v after the end of its ctx", name, took)
		}
		cancel()
	}
	p.Blackhole(false)
	if l.Err() != nil {
		t.Error(l.Err())
	}
	release(t, l)
	rests(t, s.Client(t), poll)
}

// TestFaultWeightedCutOff cuts a holder off: it is told before others have its
// permits, and its late Release harms nobody.
func TestFaultWeightedCutOff(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := s.Client(t)
	sem := weightedOf(p.Client(t), 10, ttl)
	must(sem.Acquire(t.Context(), 2))
	l := acquire(t, sem, 3)
	next := queued(t, rdb, weightedOf(rdb, 10, ample), 6, 1)
	p.Blackhole(true)
	start := time.Now()
	m := receive(t, "to get what another was cut off from", next, 2*ttl)
	if !errors.Is(l.Err(), semaphore.ErrLost) {
		t.Errorf("11 of 10 are in use: Err is %v", l.Err())
	}
	loses(t, l, start, ttl)
	p.Blackhole(false)
	sem.Release(2)
	keeps(t, m, 100*time.Millisecond)
	weighs(t, rdb, "after it", 6)
	release(t, m)
	rests(t, rdb, poll)
}

// TestFaultWeightedInside loses the permits of who is inside by Acquire: through
// the same Weighted it counts until its Release, elsewhere it does not.
func TestFaultWeightedInside(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := s.Client(t)
	sem, other := weightedOf(p.Client(t), 5, ttl), weightedOf(rdb, 5, ample)
	must(sem.Acquire(t.Context(), 3))
	lost := acquire(t, sem, 1)
	next := queued(t, rdb, other, 5, 1)
	p.Refuse(true)
	release(t, receive(t, "to get what was lost", next, ttl+poll))
	p.Refuse(false)
	loses(t, lost, time.Now(), 0)

	must(sem.Acquire(t.Context(), 2)) // 5 of 5 are inside
	var wg sync.WaitGroup
	in := make(chan struct{})
	wg.Go(func() {
		must(sem.Acquire(t.Context(), 1))
		close(in)
	})
	waits := func(d time.Duration) {
		t.Helper()
		select {
		case <-in:
			t.Fatal("6 of 5 are inside one Weighted")
		case <-time.After(d):
		}
	}
	waits(200 * time.Millisecond)
	if sem.TryAcquire(1) {
		t.Error("TryAcquire gets inside where 5 of 5 are")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := sem.Acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acquire returned %v", err)
	}
	release(t, acquire(t, other, 3)) // elsewhere they are free
	waits(0)
	sem.Release(1) // of the oldest, which are lost
	<-in
	sem.Release(5)
	if panics(func() { sem.Release(1) }) == "<nil>" {
		t.Error("Release of what is not held did not panic")
	}
	wg.Wait()
	rests(t, rdb, poll)
}
