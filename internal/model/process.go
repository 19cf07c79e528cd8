package model

// What a process does, as internal/lease does it. Whatever it may do it may also
// leave undone: it may be paused, or dead, at any time.

// act shows all that a process can do by itself. What it does to end a claim, dying
// included, is end.
func (m *Model) act(s state, i int, next func(string, state)) {
	p := s.processes[i]
	try := func(what string, change func(*state)) {
		n := s
		change(&n)
		next(what, n)
	}
	switch p.phase {
	case idle:
		if t := m.unused(&s, i); t != 0 {
			try("wants the lock, and asks", func(n *state) { m.begin(n, i, t, 0) })
		}
	case asking:
		try("asks again", func(n *state) { m.ask(n, i) })
		if p.from != 0 {
			try("asks again, having yielded", func(n *state) { // a reply has confirmed it
				n.processes[i].from = 0
				m.ask(n, i)
			})
		}
		if m.Leases && p.floor != s.heard {
			try("has one more caller that wants the lock", func(n *state) { n.processes[i].floor = s.heard })
		}
		try("gives up", func(n *state) { m.end(n, i) })
	case held:
		if p.left == 0 {
			try("finds that its window has passed", func(n *state) { n.processes[i] = process{} })
			if p.idle {
				try("locks again", func(n *state) { m.lockAgain(n, i) })
			}
			return
		}
		if !p.idle || m.Mutant == RenewsIdle {
			try("renews", func(n *state) { m.request(n, i, renew) })
		}
		if m.Values {
			try("stores its value", func(n *state) { m.send(n, packet{kind: write, token: p.token, base: p.base}) })
		}
		switch {
		case p.idle:
			try("locks again", func(n *state) { m.lockAgain(n, i) })
			try("stops lingering", func(n *state) { m.end(n, i) })
		case m.Linger: // though others wait: the slice may not be over
			try("unlocks, and lingers", func(n *state) { n.processes[i].idle = true })
			fallthrough
		default:
			try("unlocks", func(n *state) { m.end(n, i) })
		}
		if t := m.unused(&s, i); t != 0 {
			try("yields", func(n *state) { m.begin(n, i, t, p.token) })
		}
		if m.Leases && s.heard > p.base {
			try("gives the lock to a caller that has just asked", func(n *state) { n.broken |= S2 })
		}
	}
}

// lockAgain gives a claim that only lingers to a caller that has just asked.
func (m *Model) lockAgain(s *state, i int) {
	p := &s.processes[i]
	if p.left == 0 && p.late {
		s.broken |= S1
	}
	if m.Check&S2 != 0 && s.heard > p.base {
		s.broken |= S2
	}
	p.idle = false
}

// begin makes a claim, in place of the one called from, and sends its first
// request. (That which leaves no entry in the queue is left out: what it does can be
// done by a request of another process, or by none.)
func (m *Model) begin(s *state, i int, t, from token) {
	if m.Mutant == YieldKeepsToken && from != 0 {
		t = from
	}
	s.processes[i] = process{phase: asking, token: t, from: from, floor: s.heard, rest: s.processes[i].rest}
	m.ask(s, i)
}

// unused returns a name for a claim to which nothing refers, 0 if there is none.
func (m *Model) unused(s *state, i int) token {
	if m.Mutant == TokenReused {
		return name(i, 0)
	}
	for slot := range m.Claims {
		if t := name(i, slot); !s.refersTo(t) {
			return t
		}
	}
	return 0
}

// ask sends a request that queues, by the token that yields as long as there is one.
func (m *Model) ask(s *state, i int) {
	k := acquire
	if s.processes[i].from != 0 {
		k = yield
	}
	m.request(s, i, k)
	if m.Mutant == WindowFromLatest {
		s.processes[i].latest = 0
	}
}

// request sends a request of a claim, and notes when.
func (m *Model) request(s *state, i int, k kind) {
	p := &s.processes[i]
	s.numbered(func(t token, number *int8) {
		if t == p.token {
			*number--
		}
	})
	copy(p.sent[:], p.sent[1:])
	p.sent[numbers-1] = 0
	q := packet{kind: k, token: p.token, number: numbers}
	if k == yield {
		q.from = p.from
	}
	m.send(s, q)
}

// end ends a claim, whatever it has. The release may come late, or never: as that
// of an answer which comes too late does, or as if the process had died.
func (m *Model) end(s *state, i int) {
	p := s.processes[i]
	s.processes[i] = process{}
	m.send(s, packet{kind: release, token: p.token})
	if p.from != 0 {
		m.send(s, packet{kind: release, token: p.from})
	}
}

// hear handles a reply, or a message, that reaches a claim which can use it.
func (m *Model) hear(s *state, q packet) {
	i := q.token.process()
	p := &s.processes[i]
	if q.kind == notice {
		if p.phase == held && p.idle && !p.known && m.Mutant != NoticeIgnored {
			m.end(s, i)
			return
		}
		p.known = m.Mutant != NoticeIgnored
		return
	}
	age := int8(0)
	if q.number > 0 {
		age = p.sent[q.number-1]
	}
	ttl := m.TTL
	if q.kind == message {
		ttl = m.Grant
		switch m.Mutant {
		case WindowFromArrival:
			age = 0
		case WindowFromLatest:
			age = p.latest
		}
	}
	left := ttl - m.Margin - age
	switch {
	case left <= 0:
	case p.phase == held:
		if p.left == 0 && p.late {
			s.broken |= S1 // it went on as if it had held all the time
		}
		p.left = max(p.left, left)
	case q.kind != kept:
		if m.Check&S2 != 0 && q.base <= p.floor {
			s.broken |= S2
		}
		s.heard = max(s.heard, q.base)
		*p = process{phase: held, token: p.token, sent: p.sent, left: left, rest: p.rest, known: m.Linger && (p.known || q.contended)}
		if m.Leases || m.Values || m.Linger && m.Check&S2 != 0 {
			p.base = q.base
		}
	}
	if p.phase == held && p.left > 0 {
		m.exclude(s, i)
	}
}

// exclude finds out whether another process believes that it holds the lock, now that i does.
func (m *Model) exclude(s *state, i int) {
	for j := range m.Processes {
		if p := &s.processes[j]; j != i && p.phase == held {
			if p.left > 0 {
				s.broken |= S1
			}
			p.late = p.left == 0
		}
	}
}
