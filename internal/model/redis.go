package model

import "slices"

// The steps of the scripts internal/redisstore/mutex_{acquire,yield,release,renew}.lua, and of the
// files in lib that they include. A script is one transition.

// execute runs the script of a request.
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
		m.send(s, packet{kind: kept, token: q.token, sent: q.sent})
	}
}

func (m *Model) acquire(s *state, q packet) {
	r := &s.redis
	switch {
	case r.owner == q.token:
		m.confirmOwner(s, q)
	case r.owner == 0:
		head, unfinished := m.nextWaiter(r, q.token)
		if head.token == q.token || head.token == 0 && !unfinished {
			m.reply(s, q, m.grant(s, q.token, m.TTL))
			return
		}
		r.enqueue(q)
		if head.token != 0 {
			m.handOver(s, head)
		}
	default:
		r.enqueue(q)
		r.left = min(r.left, m.TTL) // it is longer only if the clock was set back
		m.notify(s, q.token)
	}
}

func (m *Model) yield(s *state, q packet) {
	r := &s.redis
	switch {
	case r.owner == q.from:
		head, _ := m.nextWaiter(r, 0)
		if head.token == 0 {
			m.reply(s, q, m.grant(s, q.token, m.TTL))
			return
		}
		r.enqueue(q)
		m.handOver(s, head)
	case r.owner == q.token:
		m.confirmOwner(s, q)
	case r.owner != 0 && r.queued(q.token):
		r.enqueue(q)
	}
}

// confirmOwner replies to a request of the owner.
func (m *Model) confirmOwner(s *state, q packet) {
	s.redis.left = m.TTL
	base := s.redis.last
	if base == 0 && m.fences() {
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
		if head, _ := m.nextWaiter(r, 0); head.token != 0 {
			m.handOver(s, head)
		}
	}
}

// grant makes t the owner. Redis' clock advances with every grant, because a script takes longer than
// the microsecond that fences count.
func (m *Model) grant(s *state, t token, ttl int8) (base int8) {
	s.redis.owner, s.redis.left = t, ttl
	if !m.fences() {
		return 0
	}
	base = max(s.redis.last+1, s.clock)
	if m.Mutant == FenceCounts {
		base = s.redis.last + 1
	}
	s.clock++
	if base <= s.maxGranted {
		s.broken |= S2
	}
	s.maxGranted = max(s.maxGranted, base)
	s.redis.last = base
	return base
}

// handOver grants the lock to a waiter from nextWaiter, and sends the message.
func (m *Model) handOver(s *state, to entry) {
	base := m.grant(s, to.token, m.Grant)
	m.send(s, packet{kind: message, token: to.token, sent: to.sent, base: base, contended: m.contended(s)})
}

func (m *Model) reply(s *state, to packet, base int8) {
	m.send(s, packet{kind: granted, token: to.token, sent: to.sent, base: base, contended: m.contended(s)})
}

// contended reports whether other processes wait.
func (m *Model) contended(s *state) bool { return m.Linger && s.redis.queue[0].token != 0 }

// notify sends the owner a notice, if no live waiter is ahead of the requesting one.
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

// enqueue adds the token to the tail, or refreshes its entry.
func (r *redis) enqueue(q packet) {
	for i := range r.queue {
		if e := &r.queue[i]; e.token == q.token || e.token == 0 {
			*e = entry{token: q.token, sent: q.sent}
			return
		}
	}
	panic("model: maxQueue is too small")
}

func (r *redis) queued(t token) bool {
	return slices.ContainsFunc(r.queue[:], func(e entry) bool { return e.token == t })
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

// nextWaiter removes the first live waiter from the queue, and at most a batch of stale entries before
// it. (The queue's keys expire with the youngest entry, which makes no difference. An unfinished
// release is not repeated: the next request must continue.)
func (m *Model) nextWaiter(r *redis, self token) (head entry, unfinished bool) {
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
