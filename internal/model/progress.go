package model

// progress ends the faults in every state, and checks that all waiting processes acquire the lock:
// what is under way arrives once, a waiter asks once in a tick, and no clock is slow. Holders
// release, or die, or get no notices: it tries all. A claim that only lingers is released for the
// first that asks, unless there are no notices: then it ends with its window.
func (m *Model) progress(states []state, r *Result) {
	for _, s := range states {
		if !m.nobodyLeads(s) {
			r.Stuck = s.String()
			return
		}
	}
	endings := []ending{releases, dies}
	if m.Linger {
		endings = append(endings, deaf)
	}
	for _, end := range endings {
		known := map[state]int{}
		for _, s := range states {
			ticks := m.settle(s, end, known)
			if ticks > m.limit() {
				r.Stuck = s.String()
				return
			}
			r.Slowest = max(r.Slowest, ticks)
		}
	}
}

// An ending is how a hold ends.
type ending int

const (
	releases ending = iota
	dies
	deaf // releases, and gets no notices
)

// limit is not a bound of the protocol, which is for one waiter, but for every claim that may be
// ahead: each can cost a TTL if its process is dead.
func (m *Model) limit() int { return (m.Processes*m.Claims + 1) * int(m.TTL+m.Back) }

// settle returns how many ticks pass until nobody waits; if that is beyond the
// limit, it need not be exact. What is known of states in which a tick begins is
// kept: most come down to a few.
func (m *Model) settle(s state, end ending, known map[state]int) int {
	var way []state
	ticks := 0
	for {
		m.quiet(&s, end)
		for i := range m.Processes {
			if !m.serve(&s, i, end) {
				return m.limit() + 1
			}
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

// serve lets a process do what it does in a tick. It reports whether a claim that only lingers
// has made way for it.
func (m *Model) serve(s *state, i int, end ending) (prompt bool) {
	if s.processes[i].phase == asking {
		m.ask(s, i)
		m.quiet(s, end)
		s.processes[i].from = 0 // by now it has been told what became of that
		if owner := s.redis.owner; end != deaf && owner != 0 && s.processes[i].phase == asking && s.redis.queue[0].token == s.processes[i].token {
			if p := s.claim(owner); p != nil && p.idle && !p.known {
				return false
			}
		}
	}
	for j := range m.Processes {
		switch p := &s.processes[j]; {
		case p.phase != held:
			continue
		case p.idle && !p.known:
			if m.Mutant == RenewsIdle {
				m.request(s, j, renew)
			}
		case end == dies:
			*p = process{}
		default:
			m.end(s, j)
		}
		m.quiet(s, end)
	}
	return true
}

// quiet delivers all packets.
func (m *Model) quiet(s *state, end ending) {
	for m.canonical(s); s.net[0].kind != nothing; m.canonical(s) {
		q := s.net[0]
		s.net[0] = packet{}
		if q.kind != notice || end != deaf {
			m.deliver(s, q)
		}
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
