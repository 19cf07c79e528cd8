package lease

import (
	"context"
	"testing"
	"time"
)

var walkKeys = []string{"a", "b", "c"}

// TestWalkGroup does for several keys what TestWalkMutex does for one: all or none
// of them are held, and none is left.
func TestWalkGroup(t *testing.T) {
	held := func(key string) func(w *walk) {
		return func(w *walk) {
			p := params(walkTTL)
			p.Key = key
			w.later(50*time.Millisecond, 0, w.take(w.process("B"), p))
		}
	}
	try := []error{ErrLocked, errNetwork, ErrNoAnswer}
	var all []scenario
	for _, u := range []use{
		{name: "group/free", least: 9},
		{name: "group/held", least: 32, before: held("b")},
		{name: "group/try", least: 9, p: Params{Try: true}, may: try},
		{name: "group/try held", least: 15, p: Params{Try: true}, may: try, before: held("c")},
	} {
		p := params(walkTTL)
		p.Try = u.p.Try
		u.p = p
		all = append(all, u.groups()...)
	}
	walkAll(t, all)
}

// groups is forms for several keys.
func (u use) groups() (all []scenario) {
	add := func(form string, least int, request func(w *walk, g *Group), rival bool) {
		all = append(all, scenario{u.name + "/" + form, least, func(w *walk) {
			if u.before != nil {
				u.before(w)
			}
			w.audit.aside = true
			w.arm()
			if rival {
				w.rivalGroup(params(walkTTL))
			}
			request(w, new(Group))
		}})
	}
	call := func(w *walk, g *Group) {
		u.useGroup(w, g, w.await(2*courtesy, u.may, func(ctx context.Context) error { return g.Acquire(ctx, w.us.Keeper, w.traced(u.p), walkKeys) }))
	}
	add("call", u.least, call, false)
	add("rival", u.least, call, true)
	if u.p.Try {
		return all
	}
	add("channel", u.least, func(w *walk, g *Group) {
		box := NewBox(Bare{})
		u.useGroup(w, g, w.await(2*courtesy, u.may, func(ctx context.Context) error {
			g.AcquireChan(ctx, w.us.Keeper, w.traced(u.p), walkKeys, box)
			return <-box.C()
		}))
		w.nothing(box)
	}, false)
	add("abandoned", u.least/2, func(w *walk, g *Group) {
		mail := &forgotten{NewBox(Bare{}), w}
		g.AcquireChan(w.ctx, w.us.Keeper, w.traced(u.p), walkKeys, mail)
		w.forget(mail)
	}, true)
	return all
}

func (u use) useGroup(w *walk, g *Group, err error) {
	if err == nil {
		w.enter(w.us, g.leases...)
		select {
		case <-g.Done():
			w.Error("a group is lost")
		case <-time.After(walkTTL / 2):
		}
		w.leave(1, g.leases...)
		if err := g.Release(); err != nil {
			w.Errorf("Release: %v", err)
		}
	}
	w.over()
}

// rivalGroup is a rival for all keys.
func (w *walk) rivalGroup(p Params) {
	c := w.process("C")
	w.compete(func() func() {
		g := new(Group)
		if err := g.Acquire(w.Context(), c.Keeper, p, walkKeys); err != nil {
			w.Errorf("C: %v", err)
			return nil
		}
		w.enter(c, g.leases...)
		return func() {
			w.leave(1, g.leases...)
			if err := g.Release(); err != nil {
				w.Errorf("Release: %v", err)
			}
		}
	})
}
