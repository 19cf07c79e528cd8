package main

import (
	"syscall"
	"time"
)

var processFaults = []fault{
	{name: "worker-stop", rows: "25, 29", bound: bounds.death, inject: func(x *injection) error {
		m := x.one()
		if x.random.IntN(3) > 0 {
			h, err := x.lasting()
			if h == nil {
				return err
			}
			m = x.fleet.members[h.worker]
		}
		held, queued, err := x.busy(m)
		if err != nil {
			return err
		}
		if err := m.child.Pause(); err != nil {
			return err
		}
		if stopped(m.child.Pid()) && held+queued > 0 {
			x.prove("process %d was in state T, with %d holds and %d requests", m.child.Pid(), held, queued)
		}
		x.sleep(x.ttl*8/10, 3*x.ttl)
		return m.child.Continue()
	}},
	{name: "worker-kill", rows: "26, 27, 28", bound: bounds.death, inject: func(x *injection) error {
		m := x.one()
		if _, _, err := x.busy(m); err != nil {
			return err
		}
		before := m.child.Pid()
		if err := x.fleet.kill(m, x.timeline); err != nil {
			return err
		}
		held, queued := x.timeline.open(m.plan.Worker, x.timeline.crashes[len(x.timeline.crashes)-1].t)
		if syscall.Kill(before, 0) != nil && held+queued > 0 {
			x.prove("process %d died with %d holds and %d requests", before, held, queued)
		}
		return nil
	}},
}

// busy waits, but not for long, until the worker holds some keys and waits for others,
// and one that it holds is of the kind that the random choice fell on.
func (x *injection) busy(m *member) (held, queued int, err error) {
	key := x.keys[x.random.IntN(len(x.keys))]
	eventually(time.Second, func() bool {
		if err = x.fleet.read(x.timeline); err != nil {
			return true
		}
		held, queued = x.timeline.open(m.plan.Worker, now())
		return held > 0 && x.timeline.has(m.plan.Worker, key)
	})
	return held, queued, err
}

// lasting waits for a hold that seems to last, and returns nil if there is none.
func (x *injection) lasting() (found *interval, err error) {
	const old = int64(3 * shortHold)
	eventually(5*time.Second, func() bool {
		if err = x.fleet.read(x.timeline); err != nil {
			return true
		}
		for _, h := range x.timeline.list {
			if x.longest(h.key) > shortHold && h.granted() && h.over() == 0 && x.timeline.died(h) == 0 && now()-h.answered > old {
				found = h
			}
		}
		return found != nil
	})
	return found, err
}
