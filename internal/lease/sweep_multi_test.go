package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var sweepKeys = []string{"a", "b", "c"}

// TestSweepGroup does for several keys what TestSweepMutex does for one: all or none
// of them are held, and none is left.
func TestSweepGroup(t *testing.T) {
	held := func(key string) func(w *sweep) {
		return func(w *sweep) {
			p := params(sweepTTL)
			p.Key = key
			w.later(50*time.Millisecond, 0, w.take(w.process("B"), p))
		}
	}
	try := []error{ErrLocked, errNetwork, retry.ErrNoAnswer}
	var all []scenario
	for _, u := range []use{
		{name: "group/free", least: 9},
		{name: "group/held", least: 32, before: held("b")},
		{name: "group/try", least: 9, p: Params{Try: true}, may: try},
		{name: "group/try held", least: 15, p: Params{Try: true}, may: try, before: held("c")},
	} {
		p := params(sweepTTL)
		p.Try = u.p.Try
		u.p = p
		all = append(all, u.groups()...)
	}
	sweepAll(t, all)
}

// groups is forms for several keys.
func (u use) groups() (all []scenario) {
	add := func(form string, least int, request func(w *sweep, ml *MultiLease), rival bool) {
		all = append(all, scenario{u.name + "/" + form, least, func(w *sweep) {
			if u.before != nil {
				u.before(w)
			}
			w.audit.aside = true
			w.arm()
			if rival {
				w.rivalGroup(params(sweepTTL))
			}
			request(w, new(MultiLease))
		}})
	}
	call := func(w *sweep, ml *MultiLease) {
		u.useGroup(w, ml, w.await(2*retry.CancelTimeout, u.may, func(ctx context.Context) error { return ml.Acquire(ctx, w.us.Manager, w.traced(u.p), sweepKeys) }))
	}
	add("call", u.least, call, false)
	add("rival", u.least, call, true)
	if u.p.Try {
		return all
	}
	add("channel", u.least, func(w *sweep, ml *MultiLease) {
		box := result.NewChan(result.ErrorOnly{})
		u.useGroup(w, ml, w.await(2*retry.CancelTimeout, u.may, func(ctx context.Context) error {
			ml.AcquireChan(ctx, w.us.Manager, w.traced(u.p), sweepKeys, box)
			return <-box.C()
		}))
		w.nothing(box)
	}, false)
	add("abandoned", u.least/2, func(w *sweep, ml *MultiLease) {
		mail := &forgotten{result.NewChan(result.ErrorOnly{}), w}
		ml.AcquireChan(w.ctx, w.us.Manager, w.traced(u.p), sweepKeys, mail)
		w.forget(mail)
	}, true)
	return all
}

func (u use) useGroup(w *sweep, ml *MultiLease, err error) {
	if err == nil {
		w.enter(w.us, ml.leases...)
		select {
		case <-ml.Done():
			w.Error("a group is lost")
		case <-time.After(sweepTTL / 2):
		}
		w.leave(1, ml.leases...)
		if err := ml.Release(); err != nil {
			w.Errorf("Release: %v", err)
		}
	}
	w.finished()
}

// rivalGroup is a rival for all keys.
func (w *sweep) rivalGroup(p Params) {
	c := w.process("C")
	w.compete(func() func() {
		ml := new(MultiLease)
		if err := ml.Acquire(w.Context(), c.Manager, p, sweepKeys); err != nil {
			w.Errorf("C: %v", err)
			return nil
		}
		w.enter(c, ml.leases...)
		return func() {
			w.leave(1, ml.leases...)
			if err := ml.Release(); err != nil {
				w.Errorf("Release: %v", err)
			}
		}
	})
}
