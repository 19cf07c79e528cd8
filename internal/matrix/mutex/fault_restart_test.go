package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultRestartForgets kills a server without persistence (row 1). The loss is reported at the holder's
// next renewal, which does not create the key again. The waiter gets the lock, and the fence grows
// although its counter is lost.
func TestFaultRestartForgets(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second // renewed every third of it
	s := redistest.Start(t)
	a, b := s.Client(t), s.Client(t)
	alone := mutexAt(a, "alone", ttl)
	l, lone := lock(t, mutexOf(a, ttl)), lock(t, alone)
	done, loneDone := l.Done(), lone.Done()
	next := enqueue(t, s, mutexOf(b, ttl), 1)

	s.Kill()
	must(s.Restart())
	start := time.Now()
	n := receive(t, "to acquire the lost lock", next, poll)
	expectLoss(t, lone, loneDone, start, ttl/3)
	expectLoss(t, l, done, start, ttl/3)
	if got := s.Do(t, "EXISTS", "alone"); got != int64(0) {
		t.Error("the renewal has created the key again")
	}
	kit.ExpectFencesGrow(t, l, n)
	expectKept(t, n, ttl/2)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultRestartRemembers kills a server with persistence (row 2). The outage is shorter than the hold's
// window, so the lock is kept.
func TestFaultRestartRemembers(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	s := redistest.Start(t, "--appendonly", "yes")
	l := lock(t, mutexOf(s.Client(t), ttl))
	next := enqueue(t, s, mutexOf(s.Client(t), ttl), 1)
	token := owner(t, s)

	s.Kill()
	must(s.Restart())
	if got := owner(t, s); got != token {
		t.Fatalf("the owner was %v and is %v", token, got)
	}
	expectKept(t, l, ttl) // only if it was renewed after the outage
	expectExcluded(t, next, 0)
	unlock(t, l)
	n := receive(t, "the hand-over", next, poll)
	kit.ExpectFencesGrow(t, l, n)
	unlock(t, n)
	expectNothingLeft(t, s, 0)
}

// TestFaultLoading locks while the server loads its data after a restart (row 3).
func TestFaultLoading(t *testing.T) {
	t.Parallel()
	const ttl = 5 * time.Second
	s := redistest.Start(t, "--enable-debug-command", "yes", "--rdbcompression", "no", "--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
	rdb := s.Client(t)
	held := mutexAt(rdb, "held", ttl)
	l := lock(t, held)
	s.Do(t, "DEBUG", "POPULATE", 1000, "filler", 1000)
	s.Do(t, "SAVE")
	s.Kill()
	up := make(chan error)
	go func() { up <- s.Restart() }()

	loading := false
	for i := 0; !loading; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		got, err := mutex.New(rdb, fmt.Sprint(i)).LockContext(ctx)
		cancel()
		if err == nil {
			unlock(t, got)
			t.Fatal("no request got LOADING")
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		loading = strings.Contains(err.Error(), "LOADING")
	}
	c := mutexOf(rdb, ttl).LockChan(t.Context())
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	unlock(t, receive(t, "to lock after LOADING", c, poll))
	if l.Err() != nil {
		t.Errorf("the hold ended: %v", l.Err())
	}
	unlock(t, l)
}

// TestFaultServerStopsBriefly stops the server for less than the window (row 4).
func TestFaultServerStopsBriefly(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), ttl))
	next := enqueue(t, s, mutexOf(s.Client(t), ttl), 1)
	s.Pause()
	expectKept(t, l, ttl/2)
	s.Continue()
	expectKept(t, l, ttl)
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, poll))
	expectNothingLeft(t, s, 0)
}

// TestFaultServerStops stops the server for longer than the TTL (row 5). The loss is reported in time.
// Requests of callers that gave up, executed late, leave no owner and no queue entry.
func TestFaultServerStops(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	s := redistest.Start(t)
	impatient := func(o *redis.Options) { o.ReadTimeout = 150 * time.Millisecond }
	a, b := s.Client(t, impatient), s.Client(t, impatient)
	l := lock(t, mutexOf(a, ttl))
	ctx, stop := l.Context(t.Context())
	defer stop()
	abandoned := mutexAt(b, "abandoned", ttl)
	unlock(t, lock(t, abandoned)) // opens a connection
	before := s.Stats(t)

	s.Pause()
	start := time.Now()
	wait, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, m := range []*mutex.Mutex{abandoned, mutexOf(b, ttl)} {
		go func() {
			if l, err := m.LockContext(wait); err == nil {
				t.Errorf("locked while the server was stopped: %v", l)
			}
		}()
	}
	<-wait.Done()
	expectLoss(t, l, ctx.Done(), start, ttl)
	if context.Cause(ctx) != mutex.ErrLost {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
	s.Continue()
	start = time.Now()
	c := mutex.New(s.Client(t), "abandoned")
	unlock(t, lockWithin(t, "to lock the abandoned key", c, ttl))
	unlock(t, lockWithin(t, "to lock the lost key", mutexOf(s.Client(t), ttl), ttl))
	checkBound(t, "both locks", start, ttl)
	if n := s.Stats(t).Since(before).Scripts(); n < 6 {
		t.Errorf("the server has executed %d scripts, none of them late", n)
	}
	expectNothingLeft(t, s, ttl)
}
