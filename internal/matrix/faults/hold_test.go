package faults

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

const year = 365 * 24 * time.Hour

// A scene is a server behind a proxy, and sometimes with a clock that the test sets.
type scene struct {
	*redistest.Server
	proxy *redistest.Proxy
	clock *redistest.Clock
	held  *mutex.Lease // by the process that the fault is about
}

func newScene(t *testing.T, clocked bool, args ...string) (x scene) {
	t.Helper()
	if clocked {
		x.Server, x.clock = redistest.StartClocked(t, args...)
	} else {
		x.Server = redistest.Start(t, args...)
	}
	x.proxy = redistest.NewProxy(t, x.Addr())
	return x
}

// A keptFault is a fault that a hold survives.
type keptFault struct {
	ttl, bound time.Duration // bound is that of the hand-over after the fault
	args       []string      // of the server
	clocked    bool
	before     func(*testing.T, scene) // before the lock is held
	fault      func(*testing.T, scene)
}

var keptFaults = map[string]keptFault{
	"RestartWithAOF": {ttl: 2 * time.Second, bound: poll, args: []string{"--appendonly", "yes"}, fault: func(t *testing.T, x scene) { // row 2
		token := owner(t, x.Server)
		x.Kill()
		check(t, x.Restart())
		expectOwner(t, x.Server, token)
	}},
	"StoppedBriefly": {ttl: 1500 * time.Millisecond, bound: poll, fault: func(t *testing.T, x scene) { // row 4
		x.Pause()
		expectKept(t, x.held, 750*time.Millisecond)
		x.Continue()
	}},
	"PausedBriefly": {ttl: 1500 * time.Millisecond, bound: poll, fault: func(t *testing.T, x scene) { // row 18
		x.Do(t, "CLIENT", "PAUSE", 750)
	}},
	"ClockBack": {ttl: time.Second, clocked: true, fault: func(t *testing.T, x scene) { // row 20
		x.clock.Step(-time.Hour)
	}},
	"ClockEarly": {ttl: time.Second, clocked: true, before: func(t *testing.T, x scene) { // row 46
		x.clock.Step(-5 * year)
	}},
	"ClockLate": {ttl: time.Second, clocked: true, before: func(t *testing.T, x scene) {
		x.clock.Step(5 * year)
	}},
	"ShortLatency": {ttl: time.Second, bound: 50 * time.Millisecond, before: func(t *testing.T, x scene) { // row 37
		x.proxy.SetDelay(25 * time.Millisecond)
	}},
	"LongLatency": {ttl: 2 * time.Second, bound: 300 * time.Millisecond, before: func(t *testing.T, x scene) {
		x.proxy.SetDelay(150 * time.Millisecond)
	}},
	"NoChannels": {ttl: time.Second, bound: poll, before: func(t *testing.T, x scene) { // row 21
		x.Do(t, "ACL", "SETUSER", "default", "resetchannels")
	}, fault: func(t *testing.T, x scene) {
		before := x.Stats(t)
		expectKept(t, x.held, time.Second)
		redistest.CheckCount(t, "the attempts to subscribe in a second", x.Stats(t).Since(before).Subscribes(), 10)
	}},
}

// TestHoldIsKept injects faults that a hold survives. It is renewed, its waiter does not get the lock
// early, and gets it after the unlock.
func TestHoldIsKept(t *testing.T) {
	each(t, keptFaults, func(t *testing.T, f keptFault) {
		x := newScene(t, f.clocked, f.args...)
		a, b := mutexOf(x.proxy.Client(t), f.ttl), mutexOf(x.proxy.Client(t), f.ttl)
		for _, m := range []*mutex.Mutex{a, b} { // opens connections, and loads the scripts
			l := lock(t, m)
			expectKept(t, l, f.ttl/2)
			unlock(t, l)
		}
		if f.before != nil {
			f.before(t, x)
		}
		x.held = lockWithin(t, "to lock", a, f.bound)
		next := enqueue(t, x.Server, b, 1)
		if f.fault != nil {
			f.fault(t, x)
		}
		expectKept(t, x.held, f.ttl) // only if it is renewed
		expectExcluded(t, next, 0)
		unlock(t, x.held)
		n := grant(t, "the hand-over", next, f.bound)
		expectFencesGrow(t, x.held, n)
		unlock(t, n)
		expectNothingLeft(t, x.Server, f.bound)
	})
}

// lostFaults has faults that remove or replace the keys of a holder: "key" has a waiter, "alone" has none.
var lostFaults = map[string]func(*testing.T, scene){
	"Restart": func(t *testing.T, x scene) { // row 1
		x.Kill()
		check(t, x.Restart())
	},
	"ClockForward": func(t *testing.T, x scene) { x.clock.Step(time.Minute) }, // row 19
	"Deleted":      func(t *testing.T, x scene) { x.Do(t, "DEL", "key", "alone") },
	"Flushed":      func(t *testing.T, x scene) { x.Do(t, "FLUSHALL") },
	"Evicted": func(t *testing.T, x scene) { // row 13
		x.Do(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
		x.Do(t, "CONFIG", "SET", "maxmemory", 1) // evicts at once
		x.Do(t, "CONFIG", "SET", "maxmemory", 0)
	},
	"Overwritten": func(t *testing.T, x scene) { // row 14
		x.Do(t, "DEL", "key")
		x.Do(t, "SET", "alone", "foreign")
	},
	"Retyped": func(t *testing.T, x scene) {
		x.Do(t, "DEL", "key", "alone")
		x.Do(t, "LPUSH", "alone", "foreign")
	},
}

// TestHoldIsLost injects faults that remove or replace the keys of a holder. Each loss is reported at the
// next renewal, which does not create the key again, and does not change a new value. The waiter gets
// its lock. Fences grow, although their counters may be lost.
func TestHoldIsLost(t *testing.T) {
	each(t, lostFaults, func(t *testing.T, fault func(*testing.T, scene)) {
		const ttl = 1500 * time.Millisecond // renewed every third of it
		x := newScene(t, strings.Contains(t.Name(), "Clock"))
		rdb := x.Client(t)
		m := mutexAt(rdb, "alone", ttl)
		l, alone := lock(t, mutexOf(rdb, ttl)), lock(t, m)
		done, aloneDone := l.Done(), alone.Done()
		next := enqueue(t, x.Server, mutexOf(x.Client(t), ttl), 1)
		fault(t, x)
		start := time.Now()
		dump := x.Do(t, "DUMP", "alone")
		expectLoss(t, l, done, start, ttl/3)
		expectLoss(t, alone, aloneDone, start, ttl/3)
		r := receive(t, "to acquire the lost lock", next, start, poll)
		check(t, r.Err)
		n := r.Lease
		if now := x.Do(t, "DUMP", "alone"); now != dump {
			t.Errorf("the key was %q and is %q", dump, now)
		}
		x.Do(t, "DEL", "alone")
		again := lockWithin(t, "to lock again", m, 0)
		expectFencesGrow(t, alone, again)
		expectFencesGrow(t, l, n)
		expectKept(t, n, ttl/2)
		unlock(t, n)
		unlock(t, again)
		expectNothingLeft(t, x.Server, 0)
	})
}

// TestClockSetBackAfterADeath sets the server's clock back by an hour after a holder's death (row 20). The
// lock does not last for an hour.
func TestClockSetBackAfterADeath(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	x := newScene(t, true)
	l := lock(t, mutexOf(x.proxy.Client(t), ttl))
	x.proxy.Refuse(true)
	x.clock.Step(-time.Hour)
	n := lockWithin(t, "to acquire the dead holder's lock", mutexOf(x.Client(t), ample), ttl)
	expectFencesGrow(t, l, n)
	unlock(t, n)
}

// TestServerStops makes the server silent for longer than a TTL (rows 5 and 18). The loss is reported in
// time. Requests of callers that gave up, executed late, leave no owner and no queue entry.
func TestServerStops(t *testing.T) {
	const ttl = time.Second
	each(t, map[string]func(*testing.T, *redistest.Server) (end func()){
		"Stopped": func(t *testing.T, s *redistest.Server) func() {
			before := s.Stats(t)
			s.Pause()
			return func() {
				s.Continue()
				redistest.Eventually(t, redistest.Patience, func() bool { return s.Stats(t).Since(before).Scripts() >= 2 }, "the server executes requests late")
			}
		},
		"PauseWrite": func(t *testing.T, s *redistest.Server) func() {
			s.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
			return func() { s.Do(t, "CLIENT", "UNPAUSE") }
		},
		"PauseAll": func(t *testing.T, s *redistest.Server) func() {
			s.Do(t, "CLIENT", "PAUSE", (ttl + poll).Milliseconds())
			return func() { s.Do(t, "PING") }
		},
	}, func(t *testing.T, stop func(*testing.T, *redistest.Server) func()) {
		s := redistest.Start(t)
		a, b := s.Client(t, impatient), s.Client(t, impatient)
		l := lock(t, mutexOf(a, ttl))
		ctx, cancel := l.Context(t.Context())
		defer cancel()
		unlock(t, lock(t, mutexAt(b, "abandoned", ttl))) // opens a connection

		resume := stop(t, s)
		start := time.Now()
		wait, cancel := context.WithTimeout(t.Context(), ttl/2)
		defer cancel()
		for _, m := range []*mutex.Mutex{mutexAt(b, "abandoned", ttl), mutexOf(b, ttl)} {
			go func() {
				if l, err := m.LockContext(wait); err == nil {
					t.Errorf("locked while the server was stopped: %v", l)
				}
			}()
		}
		expectLoss(t, l, ctx.Done(), start, ttl)
		if context.Cause(ctx) != mutex.ErrLost || wait.Err() == nil {
			t.Errorf("the cause is %v, the waits %v", context.Cause(ctx), wait.Err())
		}
		resume()
		start = time.Now()
		unlock(t, lockWithin(t, "to lock the abandoned key", mutexAt(s.Client(t), "abandoned", ample), ttl))
		unlock(t, lockWithin(t, "to lock the lost key", mutexOf(s.Client(t), ample), ttl))
		checkBound(t, "both locks", start, ttl)
		expectNothingLeft(t, s, ttl)
	})
}

// TestBlackhole cuts a holder off (rows 35 and 36). Its loss is reported before another process gets the
// lock. Delayed requests that arrive after the fault do not affect the new holder.
func TestBlackhole(t *testing.T) {
	each(t, map[string]func(*redistest.Proxy, bool){
		"Both":    (*redistest.Proxy).Blackhole,
		"Replies": (*redistest.Proxy).BlackholeReplies, // renewals arrive, but their replies are dropped
	}, func(t *testing.T, blackhole func(*redistest.Proxy, bool)) {
		const ttl = time.Second
		s, p := proxied(t)
		rdb := p.Client(t)
		l, another := lock(t, mutexOf(rdb, ttl)), lock(t, mutexAt(rdb, "another", ttl))
		ctx, stop := another.Context(t.Context())
		defer stop()
		reported := make(chan time.Time, 1)
		context.AfterFunc(ctx, func() { reported <- time.Now() })
		next := enqueue(t, s, mutexOf(s.Client(t), ample), 1)
		blackhole(p, true)
		start := time.Now()
		n := grant(t, "to acquire the lock of the disconnected holder", next, 2*ttl)
		since := time.Now()
		is(t, "Err while another process holds the lock", l.Err(), mutex.ErrLost)
		expectFencesGrow(t, l, n)
		// No method of the other lease was called, so its timer has reported the loss. A busy
		// machine may run the timer late.
		expectLoss(t, another, ctx.Done(), start, ttl)
		if late := (<-reported).Sub(since); late > slack/4+redistest.Allowance(since) {
			t.Errorf("the loss was reported %v after another process had the lock", late)
		}
		expectFault(t, "the traffic was held", p.Faults().Held, 0)
		token := owner(t, s)
		blackhole(p, false)
		expectKept(t, n, ttl)
		expectOwner(t, s, token)
		unlock(t, n)
		expectNothingLeft(t, s, 0)
	})
}

// TestUnlockInABlackhole unlocks while the traffic is dropped (row 35), on an existing and on a new
// connection. Unlock returns when the lease ends, and the lock is free then.
func TestUnlockInABlackhole(t *testing.T) {
	each(t, map[string]bool{"OldConnection": false, "NewConnection": true}, func(t *testing.T, fresh bool) {
		const ttl = 900 * time.Millisecond
		s, p := proxied(t)
		for _, wait := range []time.Duration{ttl / 2, 10 * ttl} { // the client's read timeout
			l := lock(t, mutexOf(p.Client(t, func(o *redis.Options) { o.ReadTimeout = wait }), ttl))
			start := time.Now()
			if fresh {
				p.CloseAll()
			}
			p.Blackhole(true)
			if err := l.Unlock(); err == nil || errors.Is(err, mutex.ErrLost) || errors.Is(err, mutex.ErrUnlocked) {
				t.Errorf("Unlock returned %v", err)
			}
			checkBound(t, "Unlock", start, ttl)
			unlock(t, lockWithin(t, "to lock after the failed unlock", mutexOf(s.Client(t), ample), 0))
			p.Blackhole(false)
		}
		expectNothingLeft(t, s, poll)
	})
}
