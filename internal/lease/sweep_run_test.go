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
	// sweepTTL is longer than an entry lives and a hand-over grants.
	sweepTTL = 10 * time.Second
	// sweepLate is when what is executed late, or comes again, does.
	sweepLate = 700 * time.Millisecond
	// sweepCleared is by when nothing of a lease is left, whatever has happened: what is
	// executed late is handed over, and nobody wants it.
	sweepCleared = sweepLate + max(sweepTTL, WaiterTTL) + 3*MaxPollInterval
)

var errEnough = errors.New("enough")

// sweep is one run of a scenario, in a bubble: we are the process whose ctx ends.
type sweep struct {
	*testing.T
	redis  *fakeRedis
	us     *sweepProcess
	plan   plan
	ctx    context.Context
	cancel context.CancelCauseFunc
	others sync.WaitGroup // what runs beside

	mu        sync.Mutex
	start     time.Time
	trace     []string // with the times when
	times     []time.Duration
	processes []*sweepProcess
	armed     bool // events count
	points    []string
	ours      int  // events until our call had returned, and its hold was over
	hit       bool // the fault has happened
	endedAt   time.Time
	requests  string    // what our call asks, if others of ours ask something else
	failing   time.Time // since when Redis' last answer to us is that it did not answer; or zero
	failed    bool      // so it was when ctx ended
	audit     audit     // of our request
	story     *story
	decided   atomic.Bool // our request is, so that Redis is not to blame any more
	invariants
}

// sweepResult is what is said of a run.
type sweepResult struct {
	points []string
	ours   int
	hit    bool
}

func runSweep(t *testing.T, s scenario, p plan, verbose bool) (got sweepResult) {
	w := &sweep{plan: p}
	defer func() {
		if r := recover(); r != nil { // the bubble does, for a goroutine that does not end
			panic(fmt.Sprintf("%v\n%s%v\n%s", r, s.name, p, w.text()))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w.T, w.redis, w.start = t, newFakeRedis(), time.Now()
		log := func(string, ...any) {}
		if verbose { // what Redis does takes longer to write down than to do
			log = w.log
		}
		w.redis.log = log
		w.invariants.held = map[*Lease]holding{}
		w.us = w.process("A")
		w.ctx, w.cancel = context.WithCancelCause(t.Context())
		w.audit.t = t
		w.ctx, w.story = w.audit.begin(w.ctx, s.name)
		s.run(w)
		w.rest()
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

// note writes a line of the trace. The walk is locked.
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

// arm begins to count.
func (w *sweep) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
}

// point is where an event happens.
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
			time.Sleep(time.Nanosecond) // all that follows from it comes first
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
			w.failed = w.failed && time.Now().After(w.endedAt) // of two at the same time
		case what == "fail" && of != "release" && of != "renew" && (w.requests == "" || of == w.requests):
			w.failing = time.Now()
		}
		w.mu.Unlock()
	}
	if how == cut {
		select {
		case p.disconnect <- struct{}{}:
		default: // it has no subscription
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

// await makes our call, and checks when it returns, and with what. It may fail
// for ctx, and with what is named.
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
	w.refused(err, may)
	return err
}

// reported checks that the end of our request has been told by the time that its call
// returns err.
func (w *sweep) reported(err error) {
	if over, what := w.audit.over(w.story); what == "" || over != (err != nil) && !strings.Contains(what, "lost") {
		w.Errorf("the call returns %v, and was told of:%s", err, what)
	}
}

// refused checks what a call has failed with, if it has.
func (w *sweep) refused(err error, may []error) {
	at, failing := w.ended()
	switch {
	case err == nil:
	case slices.ContainsFunc(may, func(e error) bool { return errors.Is(err, e) }) && !errors.Is(err, context.Canceled):
	case at.IsZero() || !errors.Is(err, context.Canceled) || !errors.Is(err, errEnough):
		w.Errorf("the call fails with %v", err)
	case failing && !errors.Is(err, errNetwork):
		w.Errorf("the call fails with %v, which does not say that Redis did not answer", err)
	}
}

// finished notes that our call has returned, and that what it got is given back. If the
// network is well, nothing of us is left in Redis but what we hold otherwise: at once
// if that is nothing, for our program may exit now, and else a moment later.
func (w *sweep) finished() {
	w.mu.Lock()
	if w.ours == 0 {
		w.ours = len(w.points)
	}
	exits := w.giving.Load() == 0
	for _, h := range w.held {
		exits = exits && h.p != w.us
	}
	w.mu.Unlock()
	w.free()
	wait := time.Millisecond
	if w.plan.j > 0 {
		wait = sweepCleared
	} else if exits {
		w.backed(w.us)
	}
	w.others.Go(func() {
		time.Sleep(wait)
		w.backed(w.us)
	})
}

// rest waits for the others, and until nothing may be left, and checks that
// nothing is.
func (w *sweep) rest() {
	w.others.Wait()
	w.mu.Lock()
	w.armed = false
	w.mu.Unlock()
	w.punctual()
	switch w.plan.fault {
	case fine:
		time.Sleep(retry.CancelTimeout)
	case slowRequest, slowReply: // what comes too late is undone when its answer comes
		time.Sleep(sweepLate + retry.CancelTimeout)
	default:
		time.Sleep(sweepCleared)
	}
	synctest.Wait()
	for _, p := range w.processes {
		w.backed(p)
	}
	w.redis.mu.Lock()
	for name, k := range w.redis.keys {
		if w.redis.key(name); k.owner != "" || k.pop("") != nil {
			w.Errorf("%s is held by %q, or awaited", name, k.owner)
		}
	}
	for _, p := range w.redis.permits {
		if p.purge(); p.used != 0 || len(p.queue) > 0 {
			w.Errorf("left in Redis: %s", p)
		}
	}
	w.redis.mu.Unlock()
	time.Sleep(sweepTTL) // the timers of the managers are left to fire
	synctest.Wait()
	for _, k := range w.processes {
		if len(k.queues.Entries)+len(k.claimsByToken.Entries) > 0 || !k.AtRest() {
			w.Errorf("%s is not at rest: %d queues, %d expected, %d to renew", k.name, len(k.queues.Entries), len(k.claimsByToken.Entries), k.Renewing())
		}
	}
}
