package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// sweepProcess is a process whose requests and messages are events of the sweep.
type sweepProcess struct {
	*Manager
	*fakeStore
	groups *taskgroup.Manager
	name   string
}

func (w *sweep) process(name string) *sweepProcess {
	s := newFakeStore(w.redis)
	// Each process has its own latency, so that events have an order.
	latency := time.Duration(40+17*len(w.processes)) * time.Microsecond
	s.setLatency(latency)
	s.delayMessages(latency + 5*time.Microsecond)
	s.lag = func(most time.Duration) time.Duration {
		if most == 2*time.Second {
			return sweepLate
		}
		return most * 2 / 3
	}
	m := NewManager(s)
	p := &sweepProcess{m, s, taskgroup.NewManager(m.Client, s), name}
	s.point = func(what string) fault { return w.point(p, what) }
	w.processes = append(w.processes, p)
	return p
}
