package model

// progress lets the faults end in every state, and sees whether all processes that
// wait are let in: what is under way arrives once, who waits asks once in a tick,
// and no clock is slow. Those who are let in release, or die: it tries both.
func (m *Model) progress(states []state, r *Result) {
	for _, dies := range [...]bool{false, true} {
		known := map[state]int{}
		for _, s := range states {
			ticks := m.settle(s, dies, known)
			if ticks > m.limit() {
				r.Stuck = s.String()
				return
			}
			r.Slowest = max(r.Slowest, ticks)
		}
	}
}

// limit is no bound of the protocol, which is for one who waits, but for every claim
// that may be in the way: each can cost a TTL if it is dead.
func (m *Model) limit() int { return (m.Processes*m.Claims + 1) * int(m.TTL+m.Back) }

// settle returns how many ticks pass until nobody waits; if that is beyond the
// limit, it need not be exact. What is known of states in which a tick begins is
// kept: most come down to a few.
func (m *Model) settle(s state, dies bool, known map[state]int) int {
	var way []state
	ticks := 0
	for {
		m.quiet(&s)
		for i := range m.Processes {
			m.serve(&s, i, dies)
		}
		if !s.waits() {
			break
		}
		if n, ok := known[s]; ok {
			ticks = n
			break
		}
		if way = append(way, s); len(way) > m.limit() {
			break
		}
		m.tick(&s, 0)
		m.canonical(&s)
	}
	for i := len(way) - 1; i >= 0; i-- {
		ticks++
		known[way[i]] = ticks
	}
	return ticks
}

// serve lets a process do what it does in a tick.
func (m *Model) serve(s *state, i int, dies bool) {
	if s.processes[i].phase == asking {
		m.ask(s, i)
		m.quiet(s)
		s.processes[i].from = 0 // by now it has been told what became of that
	}
	for j := range m.Processes {
		if s.processes[j].phase != held {
			continue
		}
		if dies {
			s.processes[j] = process{}
		} else {
			m.end(s, j)
		}
		m.quiet(s)
	}
}

// quiet delivers all packets.
func (m *Model) quiet(s *state) {
	for m.canonical(s); s.net[0].kind != nothing; m.canonical(s) {
		q := s.net[0]
		s.net[0] = packet{}
		m.deliver(s, q)
	}
}

func (s *state) waits() bool {
	for _, p := range s.processes {
		if p.phase == asking {
			return true
		}
	}
	return false
}
