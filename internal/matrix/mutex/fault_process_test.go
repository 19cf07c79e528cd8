package mutex_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func init() { workers["fault-locker"] = faultLocker }

// faultLocker is a process that locks the key, says "held" and the fence, and
// then does what its input tells: "spin" looks for the first call of Err after
// the process stood still, "unlock" unlocks. Each says what came of it.
func faultLocker() {
	ttl, _ := time.ParseDuration(os.Getenv("TTL"))
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("ADDR")})
	l, err := mutexOf(rdb, ttl).LockContext(context.Background())
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	fmt.Println("held", l.Fence())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "spin":
			last := time.Now()
			for fmt.Println("spinning"); ; {
				now := time.Now()
				err := l.Err()
				if now.Sub(last) > ttl {
					fmt.Println("first", describe(err))
					break
				}
				last = now
			}
		case "unlock":
			fmt.Println("unlocked", describe(l.Unlock()))
		}
	}
}

func describe(err error) string {
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, mutex.ErrLost):
		return "lost"
	}
	return err.Error()
}

type locker struct {
	*redistest.Worker
	t *testing.T
}

func spawnLocker(t *testing.T, s *redistest.Server, ttl time.Duration, env ...string) locker {
	t.Helper()
	return locker{redistest.Spawn(t, "fault-locker", append(env, "ADDR="+s.Addr(), "TTL="+ttl.String())...), t}
}

// says waits for a line that begins with the word, and returns the rest.
func (w locker) says(word string) string {
	w.t.Helper()
	select {
	case line := <-w.Lines():
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			w.t.Fatalf("the worker says %q, not %q", line, word)
		}
		return strings.TrimSpace(rest)
	case <-time.After(redistest.Patience):
		w.t.Fatalf("the worker does not say %q", word)
		return ""
	}
}

// silent checks that the worker has nothing to say for so long.
func (w locker) silent(d time.Duration) {
	w.t.Helper()
	select {
	case line := <-w.Lines():
		w.t.Errorf("the worker says %q", line)
	case <-time.After(d):
	}
}

func (w locker) held() (fence int64) {
	w.t.Helper()
	fence, err := strconv.ParseInt(w.says("held"), 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return fence
}

// TestFaultHolderStops stops a holder for longer than its TTL (row 25). When it
// goes on, the first thing that it asks its lease tells of the loss, before any
// timer had a chance: it runs on one thread, which does not let go.
func TestFaultHolderStops(t *testing.T) {
	t.Parallel()
	const ttl = 500 * time.Millisecond
	s := redistest.Start(t)
	w := spawnLocker(t, s, ttl, "GOMAXPROCS=1")
	fence := w.held()
	next := queued(t, s, mutexOf(s.Client(t), ample), 1)
	w.Send("spin")
	w.says("spinning")
	w.Pause()
	n := receive(t, "to wait for the end of the hold", next, ttl)
	if n.Fence() <= fence {
		t.Errorf("fence %d after %d", n.Fence(), fence)
	}
	keeps(t, n, ttl)
	token := owner(t, s)
	w.Continue()
	if got := w.says("first"); got != "lost" {
		t.Errorf("the first Err was %s", got)
	}
	w.Send("unlock")
	if got := w.says("unlocked"); got != "lost" {
		t.Errorf("Unlock returned %s", got)
	}
	if got := owner(t, s); got != token {
		t.Errorf("the owner was %v and is %v", token, got)
	}
	keeps(t, n, ttl)
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultHolderDies kills a holder (row 26).
func TestFaultHolderDies(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond // which lies between two polls
	s := redistest.Start(t)
	w := spawnLocker(t, s, ttl)
	fence := w.held()
	next := queued(t, s, mutexOf(s.Client(t), ample), 1)
	w.Kill()
	n := receive(t, "to wait for the dead holder", next, ttl)
	if n.Fence() <= fence {
		t.Errorf("fence %d after %d", n.Fence(), fence)
	}
	unlock(t, n)
	rests(t, s, 0)
}

// TestFaultWaiterDies kills a waiter at the head of the queue (row 27). Handed
// the lock soon after, it costs the next what a hand-over grants.
func TestFaultWaiterDies(t *testing.T) {
	t.Parallel()
	const ttl = 800 * time.Millisecond // which is also what a hand-over grants
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), ample))
	w := spawnLocker(t, s, ttl)
	awaitQueue(t, s, 1)
	next := queued(t, s, mutexOf(s.Client(t), ample), 2)
	w.Kill()
	unlock(t, l)
	unlock(t, receive(t, "to wait for the dead waiter", next, max(ttl, poll)))
	rests(t, s, 0)
}

// TestFaultWaiterLongDead kills a waiter, and hands over when its entry has run
// out (row 27): it is passed over, and the next, who is alive, has not.
func TestFaultWaiterLongDead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), ample))
	w := spawnLocker(t, s, time.Minute)
	awaitQueue(t, s, 1)
	next := queued(t, s, mutexOf(s.Client(t), ample), 2)
	w.Kill()
	excludes(t, next, lease.WaiterTTL)
	unlock(t, l)
	unlock(t, receive(t, "the hand-over", next, 0))
	rests(t, s, 0)
}

// TestFaultWaiterDiesWhileHanded stops a waiter with a long TTL, hands it the lock
// and kills it (row 28): it keeps the lock for what a hand-over grants, no longer.
func TestFaultWaiterDiesWhileHanded(t *testing.T) {
	t.Parallel()
	const grant = 3 * poll
	s := redistest.Start(t)
	l := lock(t, mutexOf(s.Client(t), ample))
	w := spawnLocker(t, s, time.Minute)
	awaitQueue(t, s, 1)
	next := queued(t, s, mutexOf(s.Client(t), ample), 2)
	w.Pause()
	unlock(t, l)
	w.Kill()
	unlock(t, receive(t, "to wait for the dead owner", next, grant))
	rests(t, s, 0)
}

// TestFaultWaiterStopsWhileHanded stops a waiter, hands it the lock and lets it go on
// when that has run out and another has it (row 29): the message is waiting for
// it, and it does not believe it.
func TestFaultWaiterStopsWhileHanded(t *testing.T) {
	t.Parallel()
	const ttl = 700 * time.Millisecond
	s := redistest.Start(t)
	m := mutexOf(s.Client(t), ample)
	l := lock(t, m)
	w := spawnLocker(t, s, ttl)
	awaitQueue(t, s, 1)
	w.Pause()
	before := s.Stats(t)
	unlock(t, l)
	if n := s.Stats(t).Since(before).Published(); n != 1 {
		t.Fatalf("%d messages were published", n)
	}
	l = lockWithin(t, "to wait for the waiter that stands still", m, max(ttl, poll))
	w.Continue()
	w.silent(ttl)
	if l.Err() != nil {
		t.Errorf("the hold ended: %v", l.Err())
	}
	unlock(t, l)
	start := time.Now()
	if fence := w.held(); fence <= l.Fence() {
		t.Errorf("fence %d after %d", fence, l.Fence())
	}
	bounded(t, "the hand-over to who stood still", start, poll)
	w.Send("unlock")
	if got := w.says("unlocked"); got != "nil" {
		t.Errorf("Unlock returned %s", got)
	}
	rests(t, s, 0)
}
