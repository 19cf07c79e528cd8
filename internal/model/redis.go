package model

// What the scripts do, move for move: internal/redisstore/mutex_{acquire,yield,release,
// renew}.lua, and the files in lib that they include. A script is one step.

// execute runs the script that a request names.
func (m *Model) execute(s *state, q packet) {
	switch r := &s.redis; q.kind {
	case acquire:
		m.acquire(s, q)
	case yield:
		m.yield(s, q)
	case release:
		m.release(s, q.token)
	case write:
		m.write(s, q)
	case renew:
		switch {
		case r.owner == q.token:
			r.left = m.TTL
		case m.Mutant == RenewCreates:
			r.owner, r.left = q.token, m.TTL
		default:
			return // "not the owner": the process may lose its claim at any time
		}
		m.send(s, packet{kind: kept, token: q.token, number: q.number})
	}
}

func (m *Model) acquire(s *state, q packet) {
	r := &s.redis
	switch {
	case r.owner == q.token:
		m.again(s, q)
	case r.owner == 0:
		head, unfinished := m.pop(r, q.token)
		if head.token == q.token || head.token == 0 && !unfinished {
			m.reply(s, q, m.grant(s, q.token, m.TTL))
			return
		}
		r.enqueue(q)
		if head.token != 0 {
			m.hand(s, head)
		}
	default:
		r.enqueue(q)
		r.left = min(r.left, m.TTL) // more is left only if the clock was set back
		m.notify(s, q.token)
	}
}

func (m *Model) yield(s *state, q packet) {
	r := &s.redis
	switch {
	case r.owner == q.from:
		head, _ := m.pop(r, 0)
		if head.token == 0 {
			m.reply(s, q, m.grant(s, q.token, m.TTL))
			return
		}
		r.enqueue(q)
		m.hand(s, head)
	case r.owner == q.token:
		m.again(s, q)
	case r.owner != 0 && r.queued(q.token):
		r.enqueue(q)
	}
}

// again is the answer to a request by the owner.
func (m *Model) again(s *state, q packet) {
	s.redis.left = m.TTL
	base := s.redis.last
	if base == 0 && m.Check&S2 != 0 {
		base = m.grant(s, q.token, m.TTL)
	}
	m.reply(s, q, base)
}

func (m *Model) release(s *state, t token) {
	r := &s.redis
	if r.owner == t || m.Mutant == ReleaseAny {
		r.owner, r.left = 0, 0
	} else {
		r.drop(t)
	}
	if r.owner == 0 {
		if head, _ := m.pop(r, 0); head.token != 0 {
			m.hand(s, head)
		}
	}
}

// grant makes t the owner. Redis' clock goes on with every grant, for a script
// takes longer than the microsecond that fences count.
func (m *Model) grant(s *state, t token, ttl int8) (base int8) {
	s.redis.owner, s.redis.left = t, ttl
	if m.Check&S2 == 0 {
		return 0
	}
	base = max(s.redis.last+1, s.clock)
	if m.Mutant == FenceCounts {
		base = s.redis.last + 1
	}
	s.clock++
	if base <= s.given {
		s.broken |= S2
	}
	s.given = max(s.given, base)
	s.redis.last = base
	return base
}

// hand grants the lock to a waiter that pop returned, and sends the message.
func (m *Model) hand(s *state, to entry) {
	base := m.grant(s, to.token, m.Grant)
	m.send(s, packet{kind: message, token: to.token, number: to.number, base: base, contended: m.contended(s)})
}

func (m *Model) reply(s *state, to packet, base int8) {
	m.send(s, packet{kind: granted, token: to.token, number: to.number, base: base, contended: m.contended(s)})
}

// contended reports whether others than the owner wait.
func (m *Model) contended(s *state) bool { return m.Linger && s.redis.queue[0].token != 0 }

// notify sends the owner a notice, if no live waiter is ahead of the one that asks now.
func (m *Model) notify(s *state, t token) {
	if !m.Linger || m.Mutant == NoNotice {
		return
	}
	for _, e := range s.redis.queue {
		if e.token == t {
			m.send(s, packet{kind: notice, token: s.redis.owner})
		}
		if e.token == t || e.age < m.Life {
			return
		}
	}
}

// enqueue puts the token at the tail, or notes that it is still there.
func (r *redis) enqueue(q packet) {
	for i := range r.queue {
		if e := &r.queue[i]; e.token == q.token || e.token == 0 {
			*e = entry{token: q.token, number: q.number}
			return
		}
	}
	panic("model: maxQueue is too small")
}

func (r *redis) queued(t token) bool {
	for _, e := range r.queue {
		if e.token == t {
			return true
		}
	}
	return false
}

func (r *redis) drop(t token) {
	for i := range r.queue {
		if r.queue[i].token == t {
			copy(r.queue[i:], r.queue[i+1:])
			r.queue[maxQueue-1] = entry{}
			return
		}
	}
}

// pop takes the first live waiter off the queue, and the dead ones before it, a batch at most.
// The keys of the queue expire when the youngest entry does, which makes no difference. (A
// release that is unfinished is not repeated here: any request has to go on.)
func (m *Model) pop(r *redis, self token) (head entry, unfinished bool) {
	for dead := int8(0); r.queue[0].token != 0; dead++ {
		head = r.queue[0]
		live := head.token == self || head.age < m.Life
		if !live && m.Batch > 0 && dead == m.Batch {
			return entry{}, true
		}
		if r.drop(head.token); live {
			return head, false
		}
	}
	return entry{}, false
}
