package model

// With Values, the holder of the lock stores a value with it, such as the value of a leader or the mark
// of a Once. The steps are those of internal/redisstore/value_{read,write,clear}.lua, and of the observer
// in internal/lease/value_observe.go. The reply to a write makes no difference: a leader may act later.

// write stores the value of a claim, if the claim is the owner and no higher fence has a value.
func (m *Model) write(s *state, q packet) {
	r := &s.redis
	if m.Mutant != WriteUnchecked && (r.owner != q.token || r.valueBase > q.base) {
		return
	}
	if q.base < r.valueBase {
		s.broken |= V2
	}
	for i := range m.Processes {
		switch p := &s.processes[i]; {
		case p.phase != held || p.left == 0:
		case p.token == q.token:
			p.stored = true
		default: // a paused process writes during another process's hold
			s.broken |= V2
		}
	}
	r.value, r.valueBase = q.token, q.base
}

// clear deletes the value if the lock is free. A repeated clear may arrive at any time.
func (m *Model) clear(s *state) {
	if r := &s.redis; r.owner == 0 || m.Mutant == ClearAny {
		r.value, r.valueBase = 0, 0
	}
}

// leader returns the fence of the current leader's value, or 0.
func (m *Model) leader(s *state) int8 {
	if r := &s.redis; r.value != 0 && (r.value == r.owner || m.Mutant == OwnerUnchecked) {
		return r.valueBase
	}
	return 0
}

// observe is one poll of an observer.
func (m *Model) observe(s *state) {
	leader := m.leader(s)
	for i := range m.Processes {
		if p := &s.processes[i]; p.phase == held && p.left > 0 && p.stored && leader != p.base {
			s.broken |= V2
		}
	}
	if leader > 0 && leader < s.maxObserved {
		if m.Mutant != ObserverGoesBack {
			return // the observer reports no leader
		}
		s.broken |= V1
	}
	s.maxObserved = max(s.maxObserved, leader)
}

// observers emits the states after a poll of the observer, and after a repeated clear.
func (m *Model) observers(s state, next func(string, state)) {
	if !m.Values {
		return
	}
	n := s
	m.observe(&n)
	next("is polled by an observer", n)
	n = s
	m.clear(&n)
	next("receives a repeated clear", n)
}

// noLeader reports whether observers see no leader after all processes have died.
func (m *Model) noLeader(s state) bool {
	s.net, s.processes = [maxPackets]packet{}, [maxProcesses]process{}
	for range m.TTL + m.Back {
		m.tick(&s, 0)
	}
	return m.leader(&s) == 0
}
