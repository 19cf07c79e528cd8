package model

// With Values, the holder of the lock stores a value beside it: what an election shows of its leader,
// or the mark of a Once. These are internal/redisstore/value_{read,write,clear}.lua, and the observer of
// internal/lease/value_observe.go. The reply to a write makes no difference: a leader may act later.

// write stores the value of a claim, if it is the owner and no higher fence has written.
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
		default: // a paused runner marks what is another's
			s.broken |= V2
		}
	}
	r.value, r.valueBase = q.token, q.base
}

// clear deletes the value if nobody holds the lock. A copy of it may come at any time.
func (m *Model) clear(s *state) {
	if r := &s.redis; r.owner == 0 || m.Mutant == ClearAny {
		r.value, r.valueBase = 0, 0
	}
}

// leader is the fence of the value that shows a leader, or 0.
func (m *Model) leader(s *state) int8 {
	if r := &s.redis; r.value != 0 && (r.value == r.owner || m.Mutant == OwnerUnchecked) {
		return r.valueBase
	}
	return 0
}

// observe is a poll of an observer.
func (m *Model) observe(s *state) {
	leader := m.leader(s)
	for i := range m.Processes {
		if p := &s.processes[i]; p.phase == held && p.left > 0 && p.stored && leader != p.base {
			s.broken |= V2
		}
	}
	if leader > 0 && leader < s.seen {
		if m.Mutant != ObserverGoesBack {
			return // it shows that nobody leads
		}
		s.broken |= V1
	}
	s.seen = max(s.seen, leader)
}

// look shows what observers and late copies can do.
func (m *Model) look(s state, next func(string, state)) {
	if !m.Values {
		return
	}
	n := s
	m.observe(&n)
	next("is polled by an observer", n)
	n = s
	m.clear(&n)
	next("gets a copy of a clear", n)
}

// nobodyLeads reports whether observers see that nobody leads, after all processes have died.
func (m *Model) nobodyLeads(s state) bool {
	s.net, s.processes = [maxPackets]packet{}, [maxProcesses]process{}
	for range m.TTL + m.Back {
		m.tick(&s, 0)
	}
	return m.leader(&s) == 0
}
