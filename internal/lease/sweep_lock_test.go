package lease

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSweepMutex and its siblings end ctx at every event of every use of a primitive, and inject
// every fault: see scenario.
func TestSweepMutex(t *testing.T) {
	p := params(sweepTTL)
	sweepAll(t, append(locks("mutex", p, p), behindDead(p)...))
}

func TestSweepRWMutex(t *testing.T) {
	r, w := reading(sweepTTL), writing(sweepTTL)
	sweepAll(t, slices.Concat(locks("writer", w, w), locks("reader", r, w), locks("writer after readers", w, r), joins(r, w)))
}

func TestSweepSemaphore(t *testing.T) {
	some, all := taking(2, 3), taking(3, 3)
	some.TTL, all.TTL = sweepTTL, sweepTTL
	sweepAll(t, slices.Concat(locks("semaphore", some, all), parts(some, all)))
}

// A target is requested by a use: a lease of one key or of several keys, or a term.
type target interface {
	Acquire(ctx context.Context, m *Manager, p *Params) error
	AcquireChan(ctx context.Context, m *Manager, p *Params, sink result.Sink)
	Release() error
	leases() []*Lease
}

type oneKey struct{ Lease }

func (l *oneKey) leases() []*Lease { return []*Lease{&l.Lease} }

// A use is our request for a target, with what other processes hold at that time and do afterwards.
type use struct {
	name   string
	least  int            // events, with those of renewals
	before func(w *sweep) // starts the actions of the others
	p      Params
	rival  Params
	may    []error                      // allowed in addition to the error of ctx
	slow   bool                         // the rival may need a poll to find the release
	of     func(p *sweepProcess) target // nil for one key
}

// forms returns the scenarios of a use: a call, alone or with a rival behind it, a channel that is
// received from, and one that is abandoned.
func (u use) forms() (all []scenario) {
	if u.of == nil {
		u.of = func(*sweepProcess) target { return new(oneKey) }
	}
	add := func(form string, least int, request func(u use, w *sweep, l target), rival bool) {
		all = append(all, scenario{u.name + "/" + form, least, func(w *sweep) {
			if w.slow = u.slow; u.before != nil {
				u.before(w)
			}
			l := u.of(w.us)
			_, w.audit.errorsAnyway = l.(*severalKeys)
			w.arm()
			if rival {
				u.compete(w)
			}
			request(u, w, l)
		}})
	}
	add("call", u.least, use.call, false)
	add("rival", u.least, use.call, true)
	if !u.p.Try {
		add("channel", u.least, use.channel, false)
	}
	if !u.p.Try && !u.p.Term {
		add("abandoned", u.least/2, use.abandoned, true)
	}
	return all
}

// params returns the parameters of our request, with the Trace of the audit.
func (u use) params(w *sweep) *Params {
	p := u.p
	if !p.Term {
		p.Trace = w.audit.trace()
	}
	return &p
}

func (u use) call(w *sweep, l target) {
	u.await(w, l, func(ctx context.Context) error {
		err := l.Acquire(ctx, w.us.Manager, u.params(w))
		if _, one := l.(*oneKey); one {
			w.checkTrace(err)
		}
		return err
	})
}

func (u use) channel(w *sweep, l target) {
	results := result.NewChan(result.ErrorOnly{})
	u.await(w, l, func(ctx context.Context) error {
		l.AcquireChan(ctx, w.us.Manager, u.params(w), results)
		return <-results.C()
	})
	w.checkNoMore(results)
}

// await makes the request and holds the lease past a renewal. The end of ctx must not end the lease.
func (u use) await(w *sweep, l target, request func(ctx context.Context) error) {
	bound := retry.CancelTimeout
	if _, several := l.(*severalKeys); several {
		bound *= 2
	}
	if w.await(bound, u.may, request) == nil {
		w.enter(w.us, l.leases()...)
		time.Sleep(sweepTTL / 2)
		for _, one := range l.leases() {
			w.holdFor(one, 0)
		}
		w.release(l)
		w.noteRelease()
	}
	w.finished()
}

// abandoned does not receive from its channel. Whether ctx ends or not, the lock must soon be free,
// and the channel must have one result.
func (u use) abandoned(w *sweep, l target) {
	sink := &abandonedSink{result.NewChan(result.ErrorOnly{}), w}
	l.AcquireChan(w.ctx, w.us.Manager, u.params(w), sink)
	w.checkAbandoned(sink)
}

// compete lets another process, the rival, request an exclusive hold. The rival must get it, whatever
// happens to us.
func (u use) compete(w *sweep) {
	p := w.process("C")
	w.others.Go(func() {
		time.Sleep(23 * time.Millisecond)
		w.mu.Lock()
		w.begun = time.Now()
		w.mu.Unlock()
		l := u.of(p)
		if err := l.Acquire(w.Context(), p.Manager, &u.rival); err != nil {
			w.Errorf("C: %v", err)
			return
		}
		w.mu.Lock()
		w.gotAt = time.Now()
		w.mu.Unlock()
		w.enter(p, l.leases()...)
		w.release(l)
	})
}

// abandonedSink is a sink that is received from only at the end.
type abandonedSink struct {
	*result.Chan[error, result.ErrorOnly]
	w *sweep
}

func (s *abandonedSink) Send(err error) {
	s.Chan.Send(err)
	if err == nil {
		s.w.decided.Store(true)
		return
	}
	at := time.Now()
	s.w.others.Go(func() { // Send runs under the mutex of a queue
		ended, _ := s.w.ended()
		if after := at.Sub(ended); !ended.IsZero() && after > retry.CancelTimeout { // the loss may be a little older
			s.w.Errorf("%v after the end of ctx the channel yields %v", after, err)
		}
		time.Sleep(time.Millisecond) // until the grant is released
		s.w.finished()
	})
}

// checkAbandoned waits for longer than the lease can last. The sink must have one result, and nothing
// may be held.
func (w *sweep) checkAbandoned(s *abandonedSink) {
	time.Sleep(2*sweepTTL + sweepCleared)
	select {
	case err := <-s.C():
		if err == nil {
			w.Error("an abandoned lease is still held")
		}
		w.checkError(err, []error{ErrLost})
	default:
		w.Error("the channel yields nothing")
	}
	w.checkNoMore(s.Chan)
}

// checkNoMore checks at the end that a channel has no further result.
func (w *sweep) checkNoMore(results *result.Chan[error, result.ErrorOnly]) {
	w.others.Go(func() {
		time.Sleep(2 * sweepTTL)
		if len(results.C()) > 0 {
			w.Errorf("the channel yields a second result: %v", <-results.C())
		}
	})
}

// behindDead returns the scenarios of a mutex with a dead owner and a dead first waiter.
func behindDead(p Params) []scenario {
	dead := use{name: "mutex/dead", least: 22, p: p, rival: p, slow: true, before: func(w *sweep) {
		w.redis.mu.Lock()
		defer w.redis.mu.Unlock()
		k := w.redis.key(p.Key)
		k.grant("dead", 2*time.Second)
		k.queue = []*fakeMutexWaiter{{token: "dead too", seq: 1, handoverTTL: 2 * MaxPollInterval, seen: time.Now()}}
		w.others.Go(func() {
			time.Sleep(2*time.Second + 2*MaxPollInterval) // until both TTLs have ended
			w.noteRelease()
		})
	}}
	return dead.forms()
}

// locks returns the scenarios that all locks have in common. Our request is p, and the others hold
// other.
func locks(name string, p, other Params) (all []scenario) {
	try := p
	try.Try = true
	held := func(d time.Duration) func(w *sweep) { // by process B
		return func(w *sweep) { w.releaseAfter(d, 0, w.acquire(w.process("B"), other)) }
	}
	for _, u := range []use{
		{name: "free", least: 9, p: p},
		{name: "handed", least: 20, p: p, before: held(50 * time.Millisecond)},
		{name: "subscribed", least: 16, p: p, before: func(w *sweep) { // our process already is
			held(20 * time.Millisecond)(w)
			w.releasePart(0, w.acquire(w.us, p))
			held(50 * time.Millisecond)(w)
		}},
		{name: "polled", least: 19, p: p, slow: true, before: func(w *sweep) {
			b := w.process("B")
			b.delayMessages(-1)
			w.releaseAfter(50*time.Millisecond, 0, w.acquire(b, other))
		}},
		{name: "yielded", least: 9, p: p, before: func(w *sweep) { // by our own process, after its time slice
			w.releaseAfter(50*time.Millisecond, 0, w.acquire(w.us, other))
		}},
		{name: "yielded to others", least: 21, p: p, before: func(w *sweep) {
			ours := w.acquire(w.us, other)
			w.others.Go(func() { held(30 * time.Millisecond)(w) }) // queues before us
			time.Sleep(10 * time.Millisecond)
			w.releaseAfter(20*time.Millisecond, 0, ours)
		}},
		{name: "local", least: 6, p: p, before: func(w *sweep) { // within the time slice
			w.releaseAfter(MinSlice/2, 0, w.acquire(w.us, other))
		}},
		{name: "try", least: 9, p: try, may: []error{errNetwork, retry.ErrNoAnswer}},
		{name: "try held", least: 3, p: try, may: []error{ErrLocked, ErrNotAvailable, errNetwork, retry.ErrNoAnswer}, before: held(50 * time.Millisecond)},
		{name: "try behind", least: 9, p: try, may: []error{ErrLocked, ErrNotAvailable, errNetwork, retry.ErrNoAnswer}, before: func(w *sweep) {
			l := w.acquire(w.us, other)
			w.others.Go(func() { w.releaseForRival(0, l) })
			time.Sleep(time.Nanosecond)
		}},
	} {
		u.name = name + "/" + u.name
		if u.rival = other; other.Shared || other.Weight < p.Weight {
			u.rival = p
		}
		all = append(all, u.forms()...)
	}
	return all
}

// joins returns the scenarios of a reader that joins another reader of its process.
func joins(r, writer Params) (all []scenario) {
	for _, u := range []use{
		{name: "reader/joins", least: 6, before: func(w *sweep) {
			w.releaseAfter(time.Second, 0, w.acquire(w.us, r))
		}},
		{name: "reader/joins late", least: 10, before: func(w *sweep) {
			w.releaseAfter(time.Second, 0, w.acquire(w.us, r))
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "reader/joins behind a writer", least: 22, before: func(w *sweep) {
			ours := w.acquire(w.us, r)
			w.others.Go(func() { w.releaseAfter(30*time.Millisecond, 0, w.acquire(w.process("B"), writer)) })
			time.Sleep(10 * time.Millisecond)
			w.releaseAfter(50*time.Millisecond, 0, ours)
		}},
	} {
		u.p, u.rival = r, writer
		all = append(all, u.forms()...)
	}
	return all
}

// parts returns the scenarios of a semaphore of which our process already holds some permits.
func parts(some, most Params) (all []scenario) {
	one := some
	one.Weight = 1
	for _, u := range []use{
		{name: "semaphore/raised", least: 9, p: some, before: func(w *sweep) { // immediately
			w.releaseAfter(2*sweepCleared, 0, w.acquire(w.us, one)) // long enough to notice permits that are not released
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "semaphore/raised later", least: 20, p: some, before: func(w *sweep) {
			w.releaseAfter(50*time.Millisecond, 0, w.acquire(w.process("B"), some))
			w.releaseAfter(time.Second, 0, w.acquire(w.us, one))
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "semaphore/part", least: 19, p: one, before: func(w *sweep) { // released by our own process
			l := w.acquire(w.us, most)
			w.releaseAfter(20*time.Millisecond, 2, l)
			w.releaseAfter(time.Second, 1, l)
		}},
		{name: "semaphore/part for others", least: 24, p: some, before: func(w *sweep) {
			l := w.acquire(w.us, most)
			w.others.Go(func() { w.releaseAfter(30*time.Millisecond, 0, w.acquire(w.process("B"), one)) })
			time.Sleep(10 * time.Millisecond)
			w.releaseAfter(20*time.Millisecond, 2, l)
			w.releaseAfter(time.Second, 1, l)
		}},
	} {
		u.rival = most
		all = append(all, u.forms()...)
	}
	return all
}
