package model

// The actions of a process, as in internal/lease. Each action is optional, because a process may be
// paused or dead at any time.

// act emits the states after all actions of a process. A death is modeled by end, like all other
// ways to end a claim.
func (m *Model) act(s state, i int, next func(string, state)) {
	p := s.processes[i]
	try := func(possible bool, event string, change func(*state)) {
		if n := s; possible {
			change(&n)
			next(event, n)
		}
	}
	live, idle, t := p.phase == held && p.left > 0, p.phase == held && p.idle, token(0)
	if p.phase == none || live {
		t = m.unused(&s, i)
	}
	try(p.phase == none && t != 0, "requests the lock", func(n *state) { m.begin(n, i, t, 0) })
	try(p.phase == asking, "repeats its request", func(n *state) { m.sendRequest(n, i) })
	try(p.phase == asking && p.from != 0, "repeats its request after the yield", func(n *state) { // a reply has confirmed the yield
		n.processes[i].from = 0
		m.sendRequest(n, i)
	})
	try(p.phase == asking && m.Leases && p.floor != s.maxKnown, "has another caller that requests the lock", func(n *state) { n.processes[i].floor = s.maxKnown })
	try(p.phase == asking, "gives up", func(n *state) { m.end(n, i) })
	try(p.phase == held && !live, "finds that its window has passed", func(n *state) { n.processes[i] = process{} })
	try(live && (!idle || m.Mutant == RenewsIdle), "renews", func(n *state) { m.send(n, packet{kind: renew, token: p.token}) })
	try(live && m.Values, "stores its value", func(n *state) { m.send(n, packet{kind: write, token: p.token, base: p.base}) })
	try(idle, "locks again", func(n *state) { m.lockAgain(n, i) })
	try(live && m.Linger && !idle, "unlocks, and lingers", func(n *state) { n.processes[i].idle = true }) // even with waiters, because the time slice may not be over
	try(live, "releases the lock", func(n *state) { m.end(n, i) })
	try(live && t != 0, "yields", func(n *state) { m.begin(n, i, t, p.token) })
	try(live && m.Leases && s.maxKnown > p.base, "grants the lock to a later caller", func(n *state) { n.broken |= S2 })
}

// lockAgain grants a lingering claim to a new caller.
func (m *Model) lockAgain(s *state, i int) {
	p := &s.processes[i]
	if p.left == 0 && p.overtaken {
		s.broken |= S1
	}
	if m.fences() && s.maxKnown > p.base {
		s.broken |= S2
	}
	p.idle = false
}

// begin starts a claim, which replaces the claim from, and sends its first request. (Requests that
// leave no queue entry are not modeled: their effects are those of another process's request, or none.)
func (m *Model) begin(s *state, i int, t, from token) {
	if m.Mutant == YieldKeepsToken && from != 0 {
		t = from
	}
	s.processes[i] = process{phase: asking, token: t, from: from, floor: s.maxKnown, driftPause: s.processes[i].driftPause}
	m.sendRequest(s, i)
}

// unused returns a token of the process that nothing refers to, or 0 if there is none.
func (m *Model) unused(s *state, i int) token {
	if m.Mutant == TokenReused {
		return name(i, 0)
	}
	var used [1 + maxProcesses*maxClaims]bool
	s.forEachToken(func(t *token) { used[*t] = true })
	for slot := range m.Claims {
		if t := name(i, slot); !used[t] {
			return t
		}
	}
	return 0
}

// sendRequest sends a request that may queue. While the claim replaces another, the request is a yield.
func (m *Model) sendRequest(s *state, i int) {
	p := &s.processes[i]
	if m.Mutant == WindowFromLatest {
		s.forEachSent(func(t token, sent *int8) {
			if t == p.token {
				*sent = 0
			}
		})
	}
	k := acquire
	if p.from != 0 {
		k = yield
	}
	m.send(s, packet{kind: k, token: p.token, from: p.from})
}

// end ends a claim in any phase, and sends its releases. A release may arrive late, like that after a
// late reply, or never, as after a death.
func (m *Model) end(s *state, i int) {
	p := s.processes[i]
	s.processes[i] = process{}
	m.send(s, packet{kind: release, token: p.token})
	if p.from != 0 {
		m.send(s, packet{kind: release, token: p.from})
	}
}

// receive handles a reply, message or notice for a claim.
func (m *Model) receive(s *state, q packet) {
	i := q.token.process()
	p := &s.processes[i]
	if q.kind == notice {
		if p.phase == held && p.idle && !p.noticed && m.Mutant != NoticeIgnored {
			m.end(s, i)
			return
		}
		p.noticed = m.Mutant != NoticeIgnored
		return
	}
	ttl, sent := m.TTL, q.sent
	if q.kind == message {
		ttl = m.Grant
		if m.Mutant == WindowFromArrival {
			sent = 0
		}
	}
	left := ttl - m.Margin - sent
	switch {
	case left <= 0:
	case p.phase == held:
		if p.left == 0 && p.overtaken {
			s.broken |= S1 // the process continues as if it had held the lock throughout
		}
		p.left = max(p.left, left)
	case q.kind != kept:
		if m.fences() && q.base <= p.floor {
			s.broken |= S2
		}
		s.maxKnown = max(s.maxKnown, q.base)
		*p = process{phase: held, token: p.token, left: left, driftPause: p.driftPause, noticed: m.Linger && (p.noticed || q.contended)}
		if m.Leases || m.Values || m.Linger && m.fences() {
			p.base = q.base
		}
	}
	if p.phase == held && p.left > 0 {
		m.checkExclusion(s, i)
	}
}

// checkExclusion checks whether another process believes that it holds the lock while i does.
func (m *Model) checkExclusion(s *state, i int) {
	for j := range m.Processes {
		if p := &s.processes[j]; j != i && p.phase == held {
			if p.left > 0 {
				s.broken |= S1
			}
			p.overtaken = p.left == 0
		}
	}
}
