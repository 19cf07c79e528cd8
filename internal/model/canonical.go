package model

import (
	"cmp"
	"slices"
)

// canonical gives one form to all states that differ only in names, or in values that have no
// effect. Without it, the number of states would be infinite.
func (m *Model) canonical(s *state) {
	m.dropIneffective(s)
	s.renumber()
	s.rename()
	slices.SortFunc(s.net[:], func(a, b packet) int {
		return cmp.Or(cmp.Compare(b.kind, a.kind), cmp.Compare(a.token, b.token), cmp.Compare(a.from, b.from),
			cmp.Compare(a.number, b.number), cmp.Compare(a.base, b.base), bit(a.contended)-bit(b.contended))
	})
	_ = slices.Compact(s.net[:]) // equal packets count once, because each can be delivered repeatedly
	m.rank(s)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// dropIneffective drops values that no longer have an effect: the number of a request whose window
// has passed, replies to claims that have ended, and messages to holders.
func (m *Model) dropIneffective(s *state) {
	s.forEachNumber(func(t token, number *int8) {
		if p := s.claim(t); p == nil || p.sent[*number-1] >= m.TTL-m.Margin {
			*number = 0
		}
	})
	for i := range s.net {
		p := &s.net[i]
		if p.kind < granted {
			continue
		}
		c := s.claim(p.token)
		mistaken := p.kind == message && (m.Mutant == WindowFromArrival || m.Mutant == WindowFromLatest)
		if p.kind == notice {
			if c == nil || c.noticed {
				*p = packet{}
			}
			continue
		}
		if c == nil || p.number == 0 && !mistaken || p.kind == message && c.phase != asking {
			*p = packet{}
		}
	}
}

// renumber gives the highest numbers to the requests that something still refers to. It drops the
// send times of the others.
func (s *state) renumber() {
	var used [maxProcesses][numbers + 1]bool
	s.forEachNumber(func(t token, number *int8) { used[t.process()][*number] = true })
	var to [maxProcesses][numbers + 1]int8
	for i := range s.processes {
		p, next := &s.processes[i], int8(numbers)
		for n := numbers; n > 0; n-- {
			if used[i][n] {
				to[i][n] = next
				p.sent[next-1] = p.sent[n-1]
				next--
			}
		}
		clear(p.sent[:next])
	}
	s.forEachNumber(func(t token, number *int8) { *number = to[t.process()][*number] })
}

// rename gives each process's claims the names 0, 1, ... in the order of their appearance in the state.
func (s *state) rename() {
	var to [1 + maxProcesses*maxClaims]token
	var next [maxProcesses]int
	put := func(t *token) {
		if *t == 0 {
			return
		}
		if to[*t] == 0 {
			p := t.process()
			to[*t] = name(p, next[p])
			next[p]++
		}
		*t = to[*t]
	}
	for i := range s.processes {
		put(&s.processes[i].token)
		put(&s.processes[i].from)
	}
	for _, r := range [...]*redis{&s.redis, &s.replica} {
		put(&r.owner)
		put(&r.value)
		for i := range r.queue {
			put(&r.queue[i].token)
		}
	}
	for i := range s.net {
		put(&s.net[i].token)
		put(&s.net[i].from)
	}
}

// rank replaces the fence bases and the clock by small numbers in the same order. It keeps gaps up to
// the amount by which the clock can be set back.
func (m *Model) rank(s *state) {
	var all [11 + 2*maxProcesses + maxPackets]*int8
	n := 0
	add := func(b *int8) {
		if *b > 0 {
			all[n] = b
			n++
		}
	}
	for _, b := range [...]*int8{&s.redis.last, &s.replica.last, &s.redis.valueBase, &s.replica.valueBase, &s.clock, &s.maxGranted, &s.maxKnown, &s.maxObserved} {
		add(b)
	}
	for i := range s.processes {
		add(&s.processes[i].base)
		add(&s.processes[i].floor)
	}
	for i := range s.net {
		add(&s.net[i].base)
	}
	sorted := all[:n]
	slices.SortFunc(sorted, func(a, b *int8) int { return cmp.Compare(*a, *b) })
	var last, rank int8
	for _, b := range sorted {
		if *b > last {
			rank += min(*b-last, m.Back+1)
			last = *b
		}
		*b = rank
	}
}
