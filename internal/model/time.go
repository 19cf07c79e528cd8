package model

// tick advances every clock by one tick, except the clocks of the processes in slow.
func (m *Model) tick(s *state, slow int) {
	s.redis.pass(m, 1)
	s.replica.pass(m, 1)
	s.clock++
	s.forEachSent(func(t token, sent *int8) {
		if slow&(1<<t.process()) == 0 {
			*sent = min(*sent+1, m.TTL)
		}
	})
	for i := range m.Processes {
		p := &s.processes[i]
		if p.phase == none {
			continue
		}
		if slow&(1<<i) != 0 {
			p.driftPause = m.TTL - 1
			continue
		}
		p.driftPause = max(p.driftPause-1, 0)
		if p.left = max(p.left-1, 0); p.phase == held && p.left == 0 && m.Mutant != Revives && !(p.idle && m.Mutant == LingersPastV) {
			s.processes[i] = process{}
		}
	}
}

// pass moves the clock of a server; ticks is negative if the clock is set back.
func (r *redis) pass(m *Model, ticks int8) {
	if r.left -= ticks; r.owner == 0 || r.left <= 0 {
		r.owner, r.left = 0, 0
	}
	for i := range r.queue {
		if e := &r.queue[i]; e.token != 0 {
			e.age = min(e.age+ticks, m.Life+m.Back)
		}
	}
}

// mayLose reports whether the clocks of these processes may lose a tick now.
func (m *Model) mayLose(s *state, slow int) bool {
	for i := range m.Drift {
		if p := &s.processes[i]; slow&(1<<i) != 0 && (p.driftPause > 0 || p.phase == none) {
			return false
		}
	}
	return true
}
