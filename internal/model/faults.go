package model

// A Fault is a fault of Redis. Each happens at most once.
type Fault uint8

const (
	LoseLock    Fault = 1 << iota // the lock is evicted, or deleted by hand
	LoseFence                     // the fence is deleted
	LoseQueue                     // the queue is deleted
	Restart                       // all data is lost; the clock runs for Outage ticks, and is then set back by Back
	Failover                      // to a replica without the last writes
	LeapForward                   // the clock is set forward by a TTL
	SetBack                       // the clock is set back by Back
)

// applyFaults emits the states after all possible faults.
func (m *Model) applyFaults(s state, next func(string, state)) {
	for _, f := range [...]struct {
		fault  Fault
		event  string
		change func(*state)
	}{
		{LoseLock, "loses the lock", func(n *state) { n.redis.owner, n.redis.left = 0, 0 }},
		{LoseFence, "loses the fence", func(n *state) { n.redis.last = 0 }},
		{LoseQueue, "loses the queue", func(n *state) { n.redis.queue = [maxQueue]entry{} }},
		{Restart, "is restarted empty", func(n *state) {
			n.redis = redis{}
			for range m.Outage {
				m.tick(n, 0)
			}
			m.step(n, -m.Back)
		}},
		{LeapForward, "has its clock set forward", func(n *state) { m.step(n, m.TTL) }},
		{SetBack, "has its clock set back", func(n *state) { m.step(n, -m.Back) }},
	} {
		if n := s; s.faults&f.fault != 0 {
			n.faults &^= f.fault
			f.change(&n)
			next(f.event, n)
		}
	}
	if n := s; s.replicaLags {
		n.faults &^= Failover
		n.redis, n.replica, n.replicaLags = s.replica, redis{}, false
		next("fails over to its replica", n)
	} else if s.faults&Failover != 0 {
		n.replica, n.replicaLags = s.redis, true
		next("has a replica that stops replicating", n)
	}
}

// step sets Redis' clock.
func (m *Model) step(s *state, ticks int8) {
	s.redis.pass(m, ticks)
	s.replica.pass(m, ticks)
	s.clock += ticks
}
