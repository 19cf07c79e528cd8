package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// sweepProcess is a process at the fake Redis whose every request and message is
// an event of the walk.
type sweepProcess struct {
	*Manager
	*fakeStore
	groups *taskgroup.Manager
	name   string
}

func (w *sweep) process(name string) *sweepProcess {
	s := newFakeStore(w.redis)
	// No two processes are as far away: their events have an order.
	way := time.Duration(40+17*len(w.processes)) * time.Microsecond
	s.latency = func() time.Duration { return way }
	s.message = func() (int, time.Duration) { return 1, way + 5*time.Microsecond }
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
