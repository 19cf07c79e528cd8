package semaphore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func resize(t *testing.T, s *semaphore.Weighted, n int64) {
	t.Helper()
	if err := s.Resize(t.Context(), n); err != nil {
		t.Fatalf("Resize: %v", err)
	}
}

// TestWeightedSize has two processes that were told different sizes: the second
// gets ErrSizeMismatch whatever it does, until the first is forgotten.
func TestWeightedSize(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 11, ample)
		must(a.Acquire(t.Context(), 1))
		for _, held := range []bool{true, false} {
			if err := b.Acquire(t.Context(), 1); !errors.Is(err, semaphore.ErrSizeMismatch) {
				t.Errorf("Acquire: %v", err)
			}
			if _, err := b.TryAcquireLease(t.Context(), 1); !errors.Is(err, semaphore.ErrSizeMismatch) {
				t.Errorf("TryAcquireLease: %v", err)
			}
			if r := <-b.AcquireChan(t.Context(), 1); !errors.Is(r.Err, semaphore.ErrSizeMismatch) {
				t.Errorf("AcquireChan: %v", r)
			}
			if panics(func() { b.TryAcquire(1) }) == "<nil>" {
				t.Error("TryAcquire does not panic")
			}
			if held {
				weighs(t, rdb, "one has 1", 1)
				a.Release(1)
			}
		}
		weighs(t, rdb, "none has any")
		rests(t, rdb, 0)
	})
}

// TestWeightedTooLarge: what the size can never hold fails at once, for one
// request, and those behind it go on.
func TestWeightedTooLarge(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 10, ample)
		held := acquire(t, a, 10)
		for _, s := range []*semaphore.Weighted{a, b} {
			start := time.Now()
			small := s.AcquireChan(t.Context(), 1)
			large := s.AcquireChan(t.Context(), 11)
			if s.TryAcquire(11) {
				t.Error("TryAcquire of 11 of 10 succeeds")
			}
			if s == b {
				awaitQueue(t, rdb, 1)
			}
			release(t, held)
			held = receive(t, "1", small, 0)
			if r := <-large; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("AcquireChan of 11 of 10 yields %v", r)
			}
			bounded(t, "to refuse", start, 0)
			release(t, held)
			held = acquire(t, a, 10)
		}
		release(t, held)
		rests(t, rdb, 0)
	})
}

// TestResizeUp lets in whoever fits, in other processes and by one message each.
func TestResizeUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	held := acquire(t, weightedOf(rdb, 10, ample), 10)
	first := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 3, 1)
	second := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 2, 2)
	third := queued(t, rdb, weightedOf(s.Client(t), 10, ample), 1, 3)
	before := s.Stats(t)
	resize(t, weightedOf(s.Client(t), 10, ample), 15)
	x, y := receive(t, "3", first, 0), receive(t, "2", second, 0)
	if n := s.Stats(t).Since(before).Published(); n != 2 {
		t.Errorf("%d messages were sent to two", n)
	}
	excludes(t, "15 of 15 are in use", third, 10*time.Millisecond)
	weighs(t, rdb, "after it", 10, 3, 2)
	release(t, x)
	release(t, receive(t, "1", third, 0))
	release(t, y)
	release(t, held)
	if n := state(t, rdb, 1); n != 15 {
		t.Errorf("the size is %d", n)
	}
	rests(t, rdb, 0)
}

// TestResizeDown takes nothing away, and lets nobody in until enough came back.
func TestResizeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 10, time.Second), weightedOf(sibling(t, rdb), 10, ample)
		x, y, z := acquire(t, a, 4), acquire(t, a, 3), acquire(t, a, 1)
		resize(t, b, 5)
		if b.TryAcquire(1) || a.TryAcquire(1) {
			t.Error("somebody is let in, though 8 of 5 are in use")
		}
		waits := queued(t, rdb, b, 2, 1)
		release(t, y)               // 5 of 5
		keeps(t, x, 10*time.Second) // it is renewed
		excludes(t, "5 of 5 are in use", waits, 0)
		release(t, z)
		excludes(t, "4 of 5 are in use", waits, 10*time.Millisecond)
		weighs(t, rdb, "no hold was lost", 4)
		release(t, x)
		release(t, receive(t, "2", waits, 0))
		rests(t, rdb, 0)
	})
}

// TestResizeAboveAcquire has ten calls of Acquire wait for more than the size. Together
// they make one request in two times MaxPollInterval. After a Resize one of them succeeds.
func TestResizeAboveAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var sent redistest.Requests
		rdb.AddHook(&sent)
		s := weightedOf(rdb, 2, time.Hour) // not renewed meanwhile
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		acquired := make(chan error)
		for range 10 {
			go func() { acquired <- s.Acquire(ctx, 3) }()
		}
		time.Sleep(100 * lease.MaxPollInterval) // until each waits ten times as long as it would alone
		sent.Swap(0)
		time.Sleep(100 * lease.MaxPollInterval)
		if n := sent.Swap(0); n < 45 || n > 52 {
			t.Errorf("%d requests in 100 times MaxPollInterval", n)
		}
		resize(t, s, 3)
		if err := <-acquired; err != nil {
			t.Errorf("Acquire returned %v", err)
		}
		cancel()
		for range 9 {
			if err := <-acquired; err != context.Canceled {
				t.Errorf("Acquire returned %v", err)
			}
		}
		s.Release(3)
		rests(t, rdb, 0)
	})
}

// TestResizeBelowWaiters tells all who want more than there now is: the first in
// line by a message, the others by their next request, and lets the rest go on.
func TestResizeBelowWaiters(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a := weightedOf(rdb, 10, ample)
		held := acquire(t, a, 4)
		others := []*semaphore.Weighted{}
		for range 4 {
			others = append(others, weightedOf(sibling(t, rdb), 10, ample))
		}
		first := queued(t, rdb, others[0], 8, 1)
		second := queued(t, rdb, others[1], 3, 2)
		third := queued(t, rdb, others[2], 7, 3)
		fourth := queued(t, rdb, others[3], 1, 4)
		refused := func(what string, c <-chan semaphore.Result, bound time.Duration) {
			t.Helper()
			start := time.Now()
			if r := <-c; !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("%s yields %v", what, r)
			}
			bounded(t, what, start, bound)
		}
		resize(t, a, 6)
		refused("8 of 6, first in line", first, 0)
		refused("7 of 6, third in line", third, poll)
		excludes(t, "it waits for 3, and 2 are free", second, 0)
		excludes(t, "there is one before it", fourth, 0)
		release(t, held)
		x := receive(t, "3", second, 0)
		release(t, receive(t, "1", fourth, 0))
		release(t, x)
		rests(t, rdb, entryLife)
	})
}

// entryLife is how long what nobody asks for stays in line.
const entryLife = lease.WaiterTTL

// TestResizeBelowHolders is the same for a process that holds some and wants more:
// what was refused is not given to it later, when the size grows again.
func TestResizeBelowHolders(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		a, b, c := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 10, ample), weightedOf(sibling(t, rdb), 10, ample)
		x, y := acquire(t, a, 6), acquire(t, b, 1)
		first := queued(t, rdb, c, 5, 1)
		second := queued(t, rdb, b, 8, 2)
		resize(t, a, 7)
		select {
		case r := <-second:
			if !errors.Is(r.Err, semaphore.ErrExceedsSize) {
				t.Errorf("8 of 7 yields %v", r)
			}
		case <-time.After(redistest.Patience):
			t.Fatal("8 of 7 are waited for")
		}
		time.Sleep(50 * time.Millisecond) // whoever has to tell Redis does so
		resize(t, a, 20)
		z := receive(t, "5", first, 0)
		redistest.Eventually(t, leeway, func() bool { return state(t, rdb, 3) == 12 }, "what was refused is given after all")
		weighs(t, rdb, "the size has grown", 6, 1, 5)
		for _, l := range []*semaphore.Lease{x, y, z} {
			release(t, l)
		}
		rests(t, rdb, entryLife)
	})
}

// TestResizeDeclared: afterwards a process may state the size that the semaphore
// was created with, or the one that it has.
func TestResizeDeclared(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		old := weightedOf(rdb, 10, ample)
		must(old.Acquire(t.Context(), 1))
		tries := func(when string, want map[int64]bool) {
			t.Helper()
			for size, ok := range want {
				for where, client := range map[string]*redis.Client{"here": rdb, "elsewhere": sibling(t, rdb)} {
					s := weightedOf(client, size, ample)
					if err := s.Acquire(t.Context(), 2); (err == nil) != ok || err != nil && !errors.Is(err, semaphore.ErrSizeMismatch) {
						t.Errorf("%s, %d stated %s: %v", when, size, where, err)
					} else if err == nil {
						s.Release(2)
					}
				}
			}
		}
		tries("created with 10", map[int64]bool{10: true, 20: false, 15: false})
		resize(t, old, 20)
		tries("resized to 20", map[int64]bool{10: true, 20: true, 15: false})
		resize(t, weightedOf(sibling(t, rdb), 20, ample), 30)
		tries("resized to 30", map[int64]bool{10: true, 20: false, 30: true})

		// Both sizes in one process, waiting in turn.
		young := weightedOf(rdb, 30, ample)
		all := acquire(t, young, 29)
		var line []<-chan semaphore.Result
		for i := range 6 {
			line = append(line, []*semaphore.Weighted{old, young}[i%2].AcquireChan(t.Context(), 5))
		}
		release(t, all)
		var leases []*semaphore.Lease
		for _, c := range line[:5] {
			leases = append(leases, receive(t, "5 of 30", c, 0))
		}
		excludes(t, "26 of 30 are in use", line[5], 10*time.Millisecond)
		old.Release(1)
		leases = append(leases, receive(t, "5 of 30", line[5], poll))
		for _, l := range leases {
			release(t, l)
		}
		rests(t, rdb, 0)
	})
}

// TestResizeNew resizes what nobody has used, waits for Redis to come back, and
// gives up when its ctx ends.
func TestResizeNew(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := s.Client(t)
	w := weightedOf(p.Client(t), 2, ample)
	for _, n := range []int64{-1, 1<<52 + 1} {
		if err := w.Resize(t.Context(), n); err == nil {
			t.Errorf("Resize to %d succeeded", n)
		}
	}
	p.Blackhole(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.Resize(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Resize into a black hole: %v", err)
	}
	if err := w.Resize(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Resize under a ctx that has ended: %v", err)
	}
	p.Blackhole(false)
	p.Refuse(true)
	go func() {
		time.Sleep(100 * time.Millisecond)
		p.Refuse(false)
	}()
	resize(t, w, 3)
	release(t, acquire(t, w, 3))
	p.CutNextReply("evalsha")
	resize(t, w, 4)
	release(t, acquire(t, w, 4))
	if p.Faults().RepliesCut != 1 {
		t.Error("no reply was cut")
	}
	rests(t, rdb, 0)
}

// TestSizeForgotten: the size is forgotten 65 minutes after the last use, not
// while anybody is inside.
func TestSizeForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		a, b := weightedOf(rdb, 10, ample), weightedOf(sibling(t, rdb), 20, ample)
		a.TTL = 5 * time.Minute
		l := acquire(t, a, 1)
		time.Sleep(2 * time.Hour)
		if err := b.Acquire(t.Context(), 1); !errors.Is(err, semaphore.ErrSizeMismatch) {
			t.Errorf("another size beside a hold: %v", err)
		}
		release(t, l)
		time.Sleep(64 * time.Minute)
		if err := b.Acquire(t.Context(), 1); !errors.Is(err, semaphore.ErrSizeMismatch) {
			t.Errorf("another size an hour later: %v", err)
		}
		time.Sleep(66 * time.Minute)
		if err := b.Acquire(t.Context(), 1); err != nil {
			t.Errorf("another size after 66 minutes without use: %v", err)
		}
		b.Release(1)
	})
}

// TestAcquireAfterResizeLooksAtNobody acquires more than the size that the Weighted was
// made with: each looks at all who are inside only after one of them was lost.
func TestAcquireAfterResizeLooksAtNobody(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 1, ample)
		resize(t, s, 100)
		for range 3 {
			must(s.Acquire(t.Context(), 1))
		}
		put := s.OldestInside()
		for range 20 {
			must(s.Acquire(t.Context(), 1))
		}
		put()
		s.Release(23)
	})
}

// TestAcquireAfterResizeAndLoss loses the permits of who is inside, when more than the
// size that the Weighted was made with are: nobody else gets in before their Release.
func TestAcquireAfterResizeAndLoss(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s := weightedOf(rdb, 1, time.Second)
		resize(t, s, 5)
		l := acquire(t, s, 1)
		must(s.Acquire(t.Context(), 1))
		must(s.Acquire(t.Context(), 1))
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		resize(t, s, 5)
		if s.TryAcquire(1) {
			t.Error("who has lost its permits is not waited for")
		}
		s.Release(2)
		must(s.Acquire(t.Context(), 2))
		s.Release(2)
	})
}
