package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// The tests of this file run for all kinds of locks.

// The first Unlock ends a lease, and all others fail.
func TestLeaseEndsOnce(t *testing.T) {
	eachOnServers(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l := k.of(rdb, "key", longTTL)
		var fence int64
		for range 20 {
			h := l.hold(t)
			ctx, stop := h.Context(t.Context())
			done := h.Done()
			if isClosed(done) || h.Err() != nil || h.Remaining() <= 0 || h.Fence() <= fence {
				t.Errorf("held: %v, %v left, fence %d after %d", h.Err(), h.Remaining(), h.Fence(), fence)
			}
			fence = h.Fence()
			errs := make(chan error)
			for range 2 {
				go func() { errs <- h.Unlock() }()
			}
			if a, b := <-errs, <-errs; a != nil && b != nil || !errors.Is(errors.Join(a, b), mutex.ErrUnlocked) {
				t.Errorf("two concurrent Unlocks returned %v and %v", a, b)
			}
			<-done
			if ctx.Err() != nil {
				t.Error("Unlock ends the ctx of the lease")
			}
			stop()
			next := l.hold(t)
			if err := h.Unlock(); !errors.Is(err, mutex.ErrUnlocked) || !errors.Is(h.Err(), mutex.ErrUnlocked) || h.Remaining() != 0 || next.Err() != nil {
				t.Errorf("unlocked: %v, %v; the next lease: %v", err, h.Err(), next.Err())
			}
			unlock(t, next)
		}
		awaitEmpty(t, rdb)
	})
}

// A copy of a lease, which go vet lets pass, is the same hold.
func TestLeaseCopied(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l := k.rival().of(rdb, "key", standard)
		h := l.hold(t)
		copied := *h
		next := l.lockChan(t.Context())
		synctest.Wait() // with several keys, LockChan queues after it has returned
		last := l.lockChan(t.Context())
		unlock(t, &copied)
		<-copied.Done()
		for _, h := range []*mutex.Lease{h, &copied} {
			if err := h.Unlock(); !errors.Is(err, mutex.ErrUnlocked) || !errors.Is(h.Err(), mutex.ErrUnlocked) {
				t.Errorf("Unlock returned %v, Err %v", err, h.Err())
			}
		}
		second := receive(t, next)
		notGranted(t, last)
		if copied.Fence() != h.Fence() || second.Fence() <= h.Fence() {
			t.Errorf("fences %d, %d, %d", h.Fence(), copied.Fence(), second.Fence())
		}
		unlock(t, second)
		unlock(t, granted(t, last))
	})
}

// When another owner has taken the key, the next renewal reports the loss. Unlock does not touch the
// key of the other owner.
func TestLoss(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		h := k.of(rdb, "key", standard).hold(t)
		ctx, stop := h.Context(t.Context())
		defer stop()
		time.Sleep(time.Minute) // with renewals
		if h.Err() != nil {
			t.Fatal(h.Err())
		}
		must(rdb.Set(t.Context(), "key", "another's", 0).Err())
		start := time.Now()
		<-ctx.Done()
		<-h.Done()
		if took := time.Since(start); took > mutex.DefaultTTL/2 {
			t.Errorf("reported after %v", took)
		}
		time.Sleep(time.Minute)
		if k.twoKeys && heldKeys(t, rdb, second+"key") == "" {
			t.Error("the other key is free before Unlock")
		}
		for range 2 {
			if err := h.Unlock(); !errors.Is(err, mutex.ErrLost) || !errors.Is(h.Err(), mutex.ErrLost) || context.Cause(ctx) != mutex.ErrLost {
				t.Errorf("Unlock returned %v, Err %v, cause %v", err, h.Err(), context.Cause(ctx))
			}
		}
		if got := rdb.Get(t.Context(), "key").Val(); got != "another's" || heldKeys(t, rdb, second+"key") != "" {
			t.Errorf("after Unlock the owner is %q, and %q is held", got, heldKeys(t, rdb, second+"key"))
		}
		late, stop := h.Context(t.Context())
		defer stop()
		if context.Cause(late) != mutex.ErrLost {
			t.Errorf("a new ctx of a lost lease ends with %v", context.Cause(late))
		}
	})
}

// Goroutines that share a lock exclude each other even after a loss. The next goroutine waits for
// Unlock, which ends only the lost hold.
func TestGoroutinesExcludeEachOtherAfterLoss(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]kind{{kinds[0], kinds[0]}, {kinds[1], kinds[1]}, {kinds[1], kinds[2]}, {kinds[2], kinds[1]}, {kinds[3], kinds[3]}} {
		t.Run(pair[0].name+" then "+pair[1].name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := bubbleClient(t)
				a, b := pair[0].of(rdb, "key", standard), pair[1].of(rdb, "key", standard)
				switch pair[0].name { // both must share one Go value
				case "Mutex", "Pool":
					b = a
				default:
					m := rwOf(rdb, "key", standard)
					both := map[string]locker{
						"RWMutex": {lock: m.Lock, unlock: m.Unlock, tryLock: m.TryLock}, "reader": {lock: m.RLock, unlock: m.RUnlock, tryLock: m.TryRLock},
					}
					a, b = both[pair[0].name], both[pair[1].name]
				}
				other := pair[1].rival().of(sibling(t, rdb), "key", standard)
				a.lock()
				must(rdb.Del(t.Context(), "key").Err())
				time.Sleep(mutex.DefaultTTL)
				entered := make(chan struct{})
				go func() {
					b.lock()
					close(entered)
				}()
				time.Sleep(time.Minute)
				if b.tryLock() {
					t.Fatal("a try succeeds before Unlock")
				}
				h, err := other.tryLockContext(t.Context())
				if err != nil {
					t.Fatalf("the process holds the lock, but cannot use it: %v", err)
				}
				a.unlock() // late: it must not end the other hold
				time.Sleep(time.Minute)
				if isClosed(entered) {
					t.Fatal("two processes hold the lock")
				}
				unlock(t, h)
				<-entered
				if other.tryLock() {
					t.Error("Lock returned without the lock")
				}
				b.unlock()
				mustPanic(t, "nlock of unlocked", a.unlock)
			})
		})
	}
}

// MaxHold counts from the grant. At most a TTL later the hold is lost.
func TestMaxHold(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		const maxHold = 2 * mutex.DefaultTTL
		l, other := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, maxHold: maxHold}), k.rival().of(sibling(t, rdb), "key", standard)
		first := other.hold(t)
		c := l.lockChan(t.Context())
		time.Sleep(2 * maxHold)
		unlock(t, first)
		forgotten := granted(t, c)
		start := time.Now()
		next := other.hold(t)
		if took := time.Since(start); took < maxHold || took > maxHold+mutex.DefaultTTL+poll || !errors.Is(forgotten.Err(), mutex.ErrLost) {
			t.Errorf("held for %v, %v", took, forgotten.Err())
		}
		if err := forgotten.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Errorf("Unlock returns %v", err)
		}
		unlock(t, next)
	})
}

// Do always unlocks. A loss cancels the ctx of f.
func TestDo(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l, other := k.of(rdb, "key", standard), k.rival().of(sibling(t, rdb), "key", standard)
		if l.do == nil {
			return
		}
		err := l.do(t.Context(), func(context.Context) error {
			if other.tryLock() {
				t.Error("f runs without the lock")
			}
			return errF
		})
		lost := l.do(t.Context(), func(ctx context.Context) error {
			must(rdb.Del(ctx, "key").Err())
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, errF) || !errors.Is(lost, mutex.ErrLost) {
			t.Errorf("Do returns %v, and %v after a loss", err, lost)
		}
		mustPanic(t, "oh", func() { _ = l.do(t.Context(), func(context.Context) error { panic("oh") }) })
		unlock(t, other.hold(t))
	})
}

// During an outage a try fails, Unlock of a lost lock returns at once, and Lock waits.
func TestOutage(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		away := redistest.NewOutage(rdb)
		lost, another := k.of(rdb, "key", standard), k.of(rdb, "another", standard)
		lost.lock()
		away.Set(true)
		if another.tryLock() {
			t.Error("TryLock succeeds without Redis")
		}
		time.Sleep(time.Minute)
		start := time.Now()
		lost.unlock()
		if took := time.Since(start); took > 0 {
			t.Errorf("Unlock of a lost lock took %v", took)
		}
		time.AfterFunc(time.Minute, func() { away.Set(false) })
		another.lock()
		if took := time.Since(start); took < time.Minute || took > time.Minute+2*poll {
			t.Errorf("Lock took %v in an outage of a minute", took)
		}
		another.unlock()
	})
}

// Each method emits the events of its hold.
func TestTrace(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		var r redistest.Record[mutex.Event]
		l := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, trace: (*mutex.Trace)(r.Trace())})
		for name, get := range l.ways(t) {
			get()()
			r.CheckTake(t, name, "acquired immediate", "released <nil>")
		}
	})
}

// Unlock of an unlocked lock panics as in sync, with the key. It does not unlock a lease.
func TestUnlockOfUnlocked(t *testing.T) {
	rdb := redistest.MiniClient(t, redistest.Mini(t))
	want := []string{`unlock of unlocked mutex "key"`, `Unlock of unlocked RWMutex "key"`, `RUnlock of unlocked RWMutex "key"`, `unlock of unlocked mutex "key"`}
	for i, k := range kinds[:4] {
		l := k.of(rdb, "key", standard)
		mustPanic(t, want[i], l.unlock)
		l.lock()
		mustPanic(t, want[i], k.of(rdb, "key", standard).unlock)
		l.unlock()
		mustPanic(t, want[i], l.unlock)
		h := l.hold(t)
		mustPanic(t, want[i], l.unlock)
		unlock(t, h)
		must(rdb.FlushAll(t.Context()).Err())
	}
}

// Locks with unusual keys work, are handed over, and are independent.
func TestKeys(t *testing.T) {
	eachOnServers(t, func(t *testing.T, rdb *redis.Client, k kind) {
		other := sibling(t, rdb)
		holds := map[string]*mutex.Lease{}
		for _, key := range append(redistest.OddKeys, "state", "key:holders", strings.Repeat("k", 1<<16)) {
			if redistest.Usable(key) {
				holds[key] = k.of(rdb, key, longTTL).hold(t)
			}
		}
		for key, h := range holds {
			next := k.rival().of(other, key, longTTL)
			if _, err := next.tryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("%.20q does not exclude: %v", key, err)
			}
			c := next.lockChan(t.Context())
			awaitWaiters(t, next.inspect, 1)
			unlock(t, h)
			unlock(t, receive(t, c))
		}
		awaitEmpty(t, rdb)
	})
}

// Unusual TTLs work: they are cut to whole milliseconds, and to the maximum of Redis.
func TestTTLs(t *testing.T) {
	eachOnServers(t, func(t *testing.T, rdb *redis.Client, k kind) {
		for ttl, want := range map[time.Duration]time.Duration{
			123456789012345 * time.Nanosecond: 123456789 * time.Millisecond,
			24 * 365 * time.Hour:              24 * 365 * time.Hour,
			math.MaxInt64:                     math.MaxInt64,
		} {
			h := k.of(rdb, "key", options{ttl: ttl}).hold(t)
			if left := rdb.PTTL(t.Context(), "key").Val(); k.name == "Mutex" && (left > want || left < want/2) {
				t.Errorf("%v remain of %v", left, ttl)
			}
			if k.rival().of(sibling(t, rdb), "key", longTTL).tryLock() {
				t.Errorf("a TTL of %v does not exclude", ttl)
			}
			unlock(t, h)
		}
		// The shortest TTL may end early on a busy machine.
		_ = k.of(rdb, "key", options{ttl: 10 * time.Millisecond}).hold(t).Unlock()
		unlock(t, k.of(rdb, "key", longTTL).hold(t))
	})
}

// A Mutex excludes locks of other libraries, such as redsync and redislock: SET NX PX, and a script
// that deletes the owner's key.
func TestForeign(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		setnx := func() bool {
			return rdb.SetArgs(t.Context(), "key", "theirs", redis.SetArgs{Mode: "NX", TTL: time.Minute}).Err() == nil
		}
		del := func() any { return compareAndDelete.Run(t.Context(), rdb, []string{"key"}, "theirs").Val() }
		m := mutex.New(rdb, "key")
		if !setnx() || m.TryLock() {
			t.Fatal("SET NX fails, or the lock is held twice")
		}
		if s, err := m.Inspect(t.Context()); err != nil || len(s.Holders) != 1 || s.Holders[0].Token != "theirs" || s.Holders[0].PID != 0 {
			t.Errorf("%+v, %v", s, err)
		}
		got := m.LockChan(t.Context())
		if n := del(); n != int64(1) {
			t.Fatalf("the script deletes %v keys", n)
		}
		h := receive(t, got) // by a poll: there is no message
		if setnx() || del() != int64(0) {
			t.Error("the lock is held twice, or the script has deleted it")
		}
		unlock(t, h)
		if !setnx() {
			t.Error("SET NX fails after Unlock")
		}
	})
}

// Inspect shows the holders and the waiters of a lock to any process.
func TestInspect(t *testing.T) {
	eachOnServers(t, func(t *testing.T, rdb *redis.Client, k kind) {
		label, long := "nightly report: Žižkov", strings.Repeat("x", 1000)
		l, next := k.of(rdb, "key", options{ttl: ample, label: label}), k.rival().of(sibling(t, rdb), "key", options{ttl: ample, label: long})
		inspect := func() mutex.Status {
			t.Helper()
			s, err := k.of(sibling(t, rdb), "key", longTTL).inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := inspect(); s.Held() || s.Next != (mutex.Owner{}) {
			t.Errorf("before the hold: %+v", s)
		}
		h := l.hold(t)
		c := next.lockChan(t.Context())
		awaitWaiters(t, next.inspect, 1)
		s := inspect()
		host, _ := os.Hostname()
		if len(s.Holders) != 1 {
			t.Fatalf("%+v", s)
		}
		if o := s.Holders[0]; o.Label != label || o.PID != os.Getpid() || o.Host != host || o.Read != (k.name == "reader") || o.Remaining <= 0 || o.Remaining > ample ||
			o.Fence <= 0 || o.Fence > h.Fence() || !strings.HasPrefix(o.String(), fmt.Sprintf("%s (%s, pid ", label, host)) {
			t.Errorf("%+v, with the fence %d", o, h.Fence())
		}
		if s.Next.Label != long[:100] || len(s.Queue) != 1 || s.Queue[0].Owner != s.Next || s.Queue[0].Read {
			t.Errorf("the next waiter is %+v", s.Next)
		}
		unlock(t, h)
		h = receive(t, c)
		if s := inspect(); len(s.Holders) != 1 || s.Holders[0].Label != long[:100] || s.Holders[0].Read || s.Waiters != 0 {
			t.Errorf("%+v", s)
		}
		unlock(t, h)
		if s := inspect(); s.Held() {
			t.Errorf("after Unlock: %+v", s)
		}
	})
}

// With Linger, a process that locks the same key repeatedly needs almost no requests. Another process
// still gets the lock.
func TestLinger(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		l, other := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, linger: time.Second}), k.rival().of(sibling(t, rdb), "key", standard)
		sent := redistest.CountRequests(rdb)
		use := func() {
			for range 100 {
				unlock(t, l.hold(t))
				l.lock()
				time.Sleep(time.Millisecond)
				l.unlock()
			}
		}
		use()
		sent.Store(0)
		if use(); k.name != "reader" && sent.Load() > 2 {
			t.Errorf("200 holds cost %d requests", sent.Load())
		}
		unlock(t, other.hold(t))
	})
}

// Contended reports another process: by a message with NotifyContention, by a renewal without.
func TestContended(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		other := k.rival().of(sibling(t, rdb), "key", standard)
		for notify, bound := range map[bool]time.Duration{true: 100 * time.Millisecond, false: mutex.DefaultTTL/3 + 100*time.Millisecond} {
			h := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, notify: notify}).hold(t)
			start, next := time.Now(), other.lockChan(t.Context())
			<-h.Contended()
			if took := time.Since(start); took > bound {
				t.Errorf("NotifyContention %v: contention is reported after %v", notify, took)
			}
			unlock(t, h)
			unlock(t, receive(t, next))
		}
	})
}
