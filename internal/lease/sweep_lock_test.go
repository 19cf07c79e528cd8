package lease

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSweepMutex, and the others of its name, end ctx at every event of every use
// of a primitive, and have every fault befall it: see scenario.
func TestSweepMutex(t *testing.T) {
	p := params(sweepTTL)
	sweepAll(t, slices.Concat(waits(p, p), locks("mutex", p, p)))
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

// A target is what a use requests: a lease of one key, of several, or a term.
type target interface {
	Acquire(ctx context.Context, m *Manager, p *Params) error
	AcquireChan(ctx context.Context, m *Manager, p *Params, sink result.Sink)
	Release() error
	leases() []*Lease
}

type oneKey struct{ Lease }

func (l *oneKey) leases() []*Lease { return []*Lease{&l.Lease} }

// A use is what happens around our request for a target: what others have when it
// comes, and do with that thereafter.
type use struct {
	name   string
	least  int            // events: fewer by the renewals if nobody receives what there is
	before func(w *sweep) // at whose end the others' deeds are under way
	p      Params
	rival  Params
	may    []error
	slow   bool                         // what is given up may have to be found out
	of     func(p *sweepProcess) target // nil for one key
}

// forms returns the scenarios of a use: as a call, as a channel that is received
// from, and one that is not, alone or with another that waits behind.
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
			_, w.audit.aside = l.(*severalKeys)
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

// params returns those of our request, which the audit hears.
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
			w.reported(err)
		}
		return err
	})
}

func (u use) channel(w *sweep, l target) {
	box := result.NewChan(result.ErrorOnly{})
	u.await(w, l, func(ctx context.Context) error {
		l.AcquireChan(ctx, w.us.Manager, u.params(w), box)
		return <-box.C()
	})
	w.nothing(box)
}

// await holds what the request gets past a renewal, and checks that the end of ctx does not end
// that.
func (u use) await(w *sweep, l target, request func(ctx context.Context) error) {
	bound := retry.CancelTimeout
	if _, several := l.(*severalKeys); several {
		bound *= 2
	}
	if w.await(bound, u.may, request) == nil {
		w.enter(w.us, l.leases()...)
		time.Sleep(sweepTTL / 2)
		for _, one := range l.leases() {
			w.keep(one, 0)
		}
		w.drop(l)
		w.free()
	}
	w.finished()
}

// abandoned does not look at its channel: whether ctx ends or not, the lock is soon
// free, and there is one result.
func (u use) abandoned(w *sweep, l target) {
	mail := &forgotten{result.NewChan(result.ErrorOnly{}), w}
	l.AcquireChan(w.ctx, w.us.Manager, u.params(w), mail)
	w.forget(mail)
}

// compete has another process wait from now on for something that excludes all others.
// Whatever becomes of us, it must get that.
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
		w.drop(l)
	})
}

// forgotten is a sink that is looked into when all is over.
type forgotten struct {
	*result.Chan[error, result.ErrorOnly]
	w *sweep
}

func (m *forgotten) Send(err error) {
	m.Chan.Send(err)
	if err == nil {
		m.w.decided.Store(true)
		return
	}
	at := time.Now()
	m.w.others.Go(func() { // a line may be locked
		ended, _ := m.w.ended()
		if after := at.Sub(ended); !ended.IsZero() && after > retry.CancelTimeout { // it may have been lost just before
			m.w.Errorf("%v after the end of ctx the channel yields %v", after, err)
		}
		time.Sleep(time.Millisecond) // then what there was has been given back
		m.w.finished()
	})
}

// forget leaves a sink alone for long, and checks that there is one result, and
// nothing held.
func (w *sweep) forget(m *forgotten) {
	time.Sleep(2*sweepTTL + sweepCleared)
	select {
	case err := <-m.C():
		if err == nil {
			w.Error("what nobody has received is still held")
		}
		w.refused(err, []error{ErrLost})
	default:
		w.Error("the channel yields nothing")
	}
	w.nothing(m.Chan)
}

// nothing checks at the end that nothing more comes out of a channel.
func (w *sweep) nothing(box *result.Chan[error, result.ErrorOnly]) {
	w.others.Go(func() {
		time.Sleep(2 * sweepTTL)
		if len(box.C()) > 0 {
			w.Errorf("the channel yields a second result: %v", <-box.C())
		}
	})
}

// waits are the uses that only a Mutex has: the owner is dead, and so is the first
// in line.
func waits(p, rival Params) []scenario {
	dead := use{name: "mutex/dead", least: 22, p: p, rival: rival, slow: true, before: func(w *sweep) {
		w.redis.mu.Lock()
		defer w.redis.mu.Unlock()
		k := w.redis.key(p.Key)
		k.grant("dead", 2*time.Second)
		k.queue = []*fakeMutexWaiter{{token: "dead too", seq: 1, handoverTTL: 2 * MaxPollInterval, seen: time.Now()}}
		w.others.Go(func() {
			time.Sleep(2*time.Second + 2*MaxPollInterval) // until then it is theirs
			w.free()
		})
	}}
	return dead.forms()
}

// locks are the uses that all locks have. Our request is p, and what others have is
// of the kind of other.
func locks(name string, p, other Params) (all []scenario) {
	try := p
	try.Try = true
	// held lets B hold what we want, for so long.
	held := func(d time.Duration) func(w *sweep) {
		return func(w *sweep) {
			l := w.take(w.process("B"), other)
			w.later(d, 0, l)
		}
	}
	for _, u := range []use{
		{name: "free", least: 9, p: p},
		{name: "handed", least: 20, p: p, before: held(50 * time.Millisecond)},
		{name: "heard", least: 16, p: p, before: func(w *sweep) { // it hears already
			held(20 * time.Millisecond)(w)
			w.giveUp(0, w.take(w.us, p))
			held(50 * time.Millisecond)(w)
		}},
		{name: "polled", least: 19, p: p, slow: true, before: func(w *sweep) {
			b := w.process("B")
			b.fakeStore.message = func() (int, time.Duration) { return 0, 0 } // it tells nobody
			w.later(50*time.Millisecond, 0, w.take(b, other))
		}},
		{name: "yielded", least: 9, p: p, before: func(w *sweep) { // by another here, whose time is over
			w.later(50*time.Millisecond, 0, w.take(w.us, other))
		}},
		{name: "yielded to others", least: 21, p: p, before: func(w *sweep) {
			ours := w.take(w.us, other)
			w.others.Go(func() { // is in line before us
				l := w.take(w.process("B"), other)
				w.later(30*time.Millisecond, 0, l)
			})
			time.Sleep(10 * time.Millisecond)
			w.later(20*time.Millisecond, 0, ours)
		}},
		{name: "inside", least: 6, p: p, before: func(w *sweep) { // within the time slice
			w.later(MinSlice/2, 0, w.take(w.us, other))
		}},
		{name: "try", least: 9, p: try, may: []error{errNetwork, retry.ErrNoAnswer}},
		{name: "try held", least: 3, p: try, may: []error{ErrLocked, ErrNotAvailable, errNetwork, retry.ErrNoAnswer}, before: held(50 * time.Millisecond)},
		{name: "try behind", least: 9, p: try, may: []error{ErrLocked, ErrNotAvailable, errNetwork, retry.ErrNoAnswer}, before: func(w *sweep) {
			l := w.take(w.us, other)
			w.others.Go(func() { w.quit(0, l) })
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

// joins are the uses of a reader that joins another of its process.
func joins(r, writer Params) (all []scenario) {
	for _, u := range []use{
		{name: "reader/joins", least: 6, before: func(w *sweep) {
			w.later(time.Second, 0, w.take(w.us, r))
		}},
		{name: "reader/joins late", least: 10, before: func(w *sweep) {
			w.later(time.Second, 0, w.take(w.us, r))
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "reader/joins behind a writer", least: 22, before: func(w *sweep) {
			ours := w.take(w.us, r)
			w.others.Go(func() {
				l := w.take(w.process("B"), writer)
				w.later(30*time.Millisecond, 0, l)
			})
			time.Sleep(10 * time.Millisecond)
			w.later(50*time.Millisecond, 0, ours)
		}},
	} {
		u.p, u.rival = r, writer
		all = append(all, u.forms()...)
	}
	return all
}

// parts are the uses of a semaphore of which this process has some permits already.
func parts(some, most Params) (all []scenario) {
	one := some
	one.Weight = 1
	for _, u := range []use{
		{name: "semaphore/raised", least: 9, p: some, before: func(w *sweep) { // at once
			w.later(2*sweepCleared, 0, w.take(w.us, one)) // so long that what is not given back is seen
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "semaphore/raised later", least: 20, p: some, before: func(w *sweep) {
			w.later(50*time.Millisecond, 0, w.take(w.process("B"), some))
			w.later(time.Second, 0, w.take(w.us, one))
			time.Sleep(5 * time.Millisecond)
		}},
		{name: "semaphore/part", least: 19, p: one, before: func(w *sweep) { // is given back here
			l := w.take(w.us, most)
			w.later(20*time.Millisecond, 2, l)
			w.later(time.Second, 1, l)
		}},
		{name: "semaphore/part for others", least: 24, p: some, before: func(w *sweep) {
			l := w.take(w.us, most)
			w.others.Go(func() {
				l := w.take(w.process("B"), one)
				w.later(30*time.Millisecond, 0, l)
			})
			time.Sleep(10 * time.Millisecond)
			w.later(20*time.Millisecond, 2, l)
			w.later(time.Second, 1, l)
		}},
	} {
		u.rival = most
		all = append(all, u.forms()...)
	}
	return all
}
