package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

const (
	// sweepTTL is longer than WaiterTTL and a hand-over.
	sweepTTL = 10 * time.Second
	// sweepLate is the delay of requests and messages that are late or repeated.
	sweepLate = 700 * time.Millisecond
	// sweepCleared is the time until nothing of a lease is left after any fault. In the longest case,
	// a late request is handed over to a claim that has ended.
	sweepCleared = sweepLate + max(sweepTTL, WaiterTTL) + 3*MaxPollInterval
)

var errEnough = errors.New("enough")

// sweep is one run of a scenario, in a bubble. The ctx of our own process ends.
type sweep struct {
	*testing.T
	redis  *fakeRedis
	us     *sweepProcess
	plan   plan
	ctx    context.Context
	cancel context.CancelCauseFunc
	others sync.WaitGroup // the actions of others

	mu        sync.Mutex
	start     time.Time
	trace     []string
	times     []time.Duration // of the lines of trace
	processes []*sweepProcess
	armed     bool // events count
	points    []string
	ours      int  // events until the end of our call and its hold
	hit       bool // the fault has happened
	endedAt   time.Time
	requests  string    // the request of our call, if our process sends other requests too
	failing   time.Time // when our last request failed; zero if it succeeded
	failed    bool      // our last request had failed when ctx ended
	audit     audit     // of our request
	timeline  *timeline
	decided   atomic.Bool // our request has a result, and no longer depends on Redis
	invariants
}

// sweepResult is the result of a run.
type sweepResult struct {
	points []string
	ours   int
	hit    bool
}

func runSweep(t *testing.T, s scenario, p plan, verbose bool) (got sweepResult) {
	w := &sweep{plan: p}
	defer func() {
		if r := recover(); r != nil { // the bubble panics if a goroutine does not end
			panic(fmt.Sprintf("%v\n%s%v\n%s", r, s.name, p, w.text()))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w.T, w.redis, w.start = t, newFakeRedis(), time.Now()
		if verbose { // logging takes longer than the requests
			w.redis.log = w.log
		}
		w.invariants.held = map[*Lease]holding{}
		w.us = w.process("A")
		w.ctx, w.cancel = context.WithCancelCause(t.Context())
		w.audit.t = t
		w.ctx, w.timeline = w.audit.begin(w.ctx, s.name)
		s.run(w)
		w.checkAtRest()
		w.cancel(nil)
		w.audit.check()
		if verbose || t.Failed() {
			t.Logf("go test ./internal/lease -run TestSweep -sweep.scenario %q%v\n%s", s.name, p, w.text())
		}
	})
	return sweepResult{w.points, w.ours, w.hit}
}

func (w *sweep) log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(fmt.Sprintf(format, args...))
}

// note adds a line to the trace. The sweep is locked.
func (w *sweep) note(line string) {
	w.trace, w.times = append(w.trace, line), append(w.times, time.Since(w.start))
}

func (w *sweep) text() string {
	var b strings.Builder
	n := 0
	for i, line := range w.trace {
		if n < len(w.points) && line == w.points[n] {
			n++
			line = fmt.Sprintf("%3d %s", n, line)
		}
		fmt.Fprintf(&b, "%15v %s\n", w.times[i], line)
	}
	return b.String()
}

// arm starts the count of events.
func (w *sweep) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

// point counts an event, and returns its fault.
func (w *sweep) point(p *sweepProcess, what string) fault {
	w.mu.Lock()
	if !w.armed {
		w.mu.Unlock()
		return fine
	}
	point := p.name + " " + what
	w.points = append(w.points, point)
	n, how := len(w.points), fine
	w.note(point)
	if n == w.plan.j && slices.Contains(faultsAt(point), w.plan.fault) {
		how, w.hit = w.plan.fault, true
		w.note("    " + how.String())
	}
	w.mu.Unlock()
	if n == w.plan.k {
		switch w.plan.when {
		case "before":
			w.end()
			time.Sleep(time.Nanosecond) // until its consequences have happened
		case "at":
			w.end()
		default:
			time.AfterFunc(1, w.end)
		}
	}
	if what, of, _ := strings.Cut(what, " "); p == w.us {
		w.mu.Lock()
		switch {
		case what == "reply":
			w.failing = time.Time{}
			w.failed = w.failed && time.Now().After(w.endedAt) // a reply at the end of ctx counts
		case what == "fail" && of != "release" && of != "renew" && (w.requests == "" || of == w.requests):
			w.failing = time.Now()
		}
		w.mu.Unlock()
	}
	if how == cut {
		select {
		case p.disconnect <- struct{}{}:
		default: // there is no subscription
		}
	}
	return how
}

// end ends ctx.
func (w *sweep) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.endedAt.IsZero() {
		return
	}
	w.endedAt = time.Now()
	w.failed = !w.decided.Load() && !w.failing.IsZero() && w.failing.Before(w.endedAt)
	w.note("ctx ends")
	w.cancel(errEnough)
}

func (w *sweep) ended() (at time.Time, failing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.endedAt, w.failed
}

// await makes our call, and checks its result and when it returns. The call may fail with the error of
// ctx or one of may.
func (w *sweep) await(bound time.Duration, may []error, call func(ctx context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- call(w.ctx) }()
	var err error
	select {
	case err = <-done:
	case <-time.After(time.Hour):
		panic("the call does not return")
	}
	w.log("the call returns %v", err)
	at, _ := w.ended()
	if after := time.Since(at); !at.IsZero() && after > 0 {
		if err == nil {
			w.Errorf("%v after the end of ctx the call succeeds", after)
		}
		if after > bound {
			w.Errorf("the call returns %v after the end of ctx", after)
		}
	}
	w.checkError(err, may)
	return err
}

// checkTrace checks that the events of our request agree with the error of its call.
func (w *sweep) checkTrace(err error) {
	if ended, events := w.audit.ended(w.timeline); events == "" || ended != (err != nil) && !strings.Contains(events, "lost") {
		w.Errorf("the call returns %v, after the events:%s", err, events)
	}
}

// checkError checks the error of a call.
func (w *sweep) checkError(err error, may []error) {
	at, failing := w.ended()
	switch {
	case err == nil:
	case slices.ContainsFunc(may, func(e error) bool { return errors.Is(err, e) }) && !errors.Is(err, context.Canceled):
	case at.IsZero() || !errors.Is(err, context.Canceled) || !errors.Is(err, errEnough):
		w.Errorf("the call fails with %v", err)
	case failing && !errors.Is(err, errNetwork):
		w.Errorf("the call fails with %v, which does not contain the network error", err)
	}
}

// finished records that our call has returned and its lease is released. Without a fault, Redis must
// keep only our other leases. If there are none, that must be true immediately, because our
// program may exit, and otherwise a moment later.
func (w *sweep) finished() {
	w.mu.Lock()
	if w.ours == 0 {
		w.ours = len(w.points)
	}
	exits := w.releasing.Load() == 0
	for _, h := range w.held {
		exits = exits && h.p != w.us
	}
	w.mu.Unlock()
	w.noteRelease()
	wait := time.Millisecond
	if w.plan.j > 0 {
		wait = sweepCleared
	} else if exits {
		w.checkRedis(w.us)
	}
	w.others.Go(func() {
		time.Sleep(wait)
		w.checkRedis(w.us)
	})
}

// checkAtRest waits for the others and until everything has ended, and checks that nothing is left.
func (w *sweep) checkAtRest() {
	w.others.Wait()
	w.mu.Lock()
	w.armed = false
	w.mu.Unlock()
	w.checkRival()
	switch w.plan.fault {
	case fine:
		time.Sleep(retry.CancelTimeout)
	case slowRequest, slowReply: // a late grant is undone after its reply
		time.Sleep(sweepLate + retry.CancelTimeout)
	default:
		time.Sleep(sweepCleared)
	}
	synctest.Wait()
	for _, p := range w.processes {
		w.checkRedis(p)
	}
	w.redis.mu.Lock()
	for name, k := range w.redis.keys {
		if w.redis.key(name); k.owner != "" || k.nextWaiter("") != nil {
			w.Errorf("left in Redis: %s, owner %q, or a waiter", name, k.owner)
		}
	}
	for _, p := range w.redis.permits {
		if p.purge(); p.used != 0 || len(p.queue) > 0 {
			w.Errorf("left in Redis: %s", p)
		}
	}
	w.redis.mu.Unlock()
	time.Sleep(sweepTTL) // until the timers of the managers have fired
	synctest.Wait()
	for _, p := range w.processes {
		if len(p.queues.Entries)+len(p.claimsByToken.Entries) > 0 || !p.AtRest() {
			w.Errorf("%s is not at rest: %d queues, %d waiting claims, %d to renew", p.name, len(p.queues.Entries), len(p.claimsByToken.Entries), p.Renewing())
		}
	}
}
