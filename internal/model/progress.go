package model

import "slices"

// progress ends the faults in every state, and checks that all waiting processes acquire the lock.
// Packets in transit arrive once, a waiter sends one request per tick, and no clock is slow. It tries
// three endings: holders release, die, or get no notices. A lingering claim is released for the first
// waiter, or ends with its window if there are no notices.
func (m *Model) progress(states []state, r *Result) {
	endings := []ending{releases, dies}
	if m.Linger {
		endings = append(endings, noNotices)
	}
	for _, end := range endings {
		known := map[uint64]int{}
		for _, s := range states {
			ticks := m.ticksUntilServed(s, end, known)
			if r.Slowest = max(r.Slowest, ticks); ticks > m.limit() || !m.noLeader(s) {
				r.Stuck = s.String()
				return
			}
		}
	}
}

// An ending is the way in which holds end.
type ending int

const (
	releases ending = iota
	dies
	noNotices // releases, but gets no notices
)

// limit is the maximum number of ticks until all waiters acquire the lock. Each claim that may be
// ahead can cost a TTL if its process is dead.
func (m *Model) limit() int { return (m.Processes*m.Claims + 1) * int(m.TTL+m.Back) }

// ticksUntilServed returns the number of ticks until no process waits, or more than the limit. Results
// for states at the start of a tick are kept in known, because most states reach few of them.
func (m *Model) ticksUntilServed(s state, end ending, known map[uint64]int) int {
	m.deliverAll(&s, end)
	for i := range m.Processes {
		if !m.serve(&s, i, end) {
			return m.limit() + 1
		}
	}
	if !s.waits() {
		return 0
	}
	m.tick(&s, 0)
	m.canonical(&s)
	key := m.fingerprint(s)
	if _, ok := known[key]; !ok {
		known[key] = m.limit() // in case that it leads to itself
		known[key] = m.ticksUntilServed(s, end, known)
	}
	return known[key] + 1
}

// serve runs one tick of a process. It returns false if a lingering claim was not released for it.
func (m *Model) serve(s *state, i int, end ending) (prompt bool) {
	if p := &s.processes[i]; p.phase == asking {
		m.sendRequest(s, i)
		m.deliverAll(s, end)
		p.from = 0 // the reply has confirmed the yield
		if end != noNotices && p.phase == asking && s.redis.owner != 0 && s.redis.queue[0].token == p.token {
			if owner := s.claim(s.redis.owner); owner != nil && owner.idle && !owner.noticed {
				return false
			}
		}
	}
	for j := range m.Processes {
		switch p := &s.processes[j]; {
		case p.phase != held:
			continue
		case p.idle && !p.noticed:
			if m.Mutant == RenewsIdle {
				m.send(s, packet{kind: renew, token: p.token})
			}
		case end == dies:
			*p = process{}
		default:
			m.end(s, j)
		}
		m.deliverAll(s, end)
	}
	return true
}

// deliverAll delivers all packets.
func (m *Model) deliverAll(s *state, end ending) {
	for m.canonical(s); s.net[0].kind != nothing; m.canonical(s) {
		q := s.net[0]
		s.net[0] = packet{}
		if q.kind != notice || end != noNotices {
			m.deliver(s, q)
		}
	}
}

func (s *state) waits() bool {
	return slices.ContainsFunc(s.processes[:], func(p process) bool { return p.phase == asking })
}
