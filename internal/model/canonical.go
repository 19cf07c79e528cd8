package model

import (
	"cmp"
	"hash/maphash"
	"slices"
)

var seed = maphash.MakeSeed()

// fingerprint returns a hash of a state. Two of a million states have the same one in fewer than one
// of ten million runs. States that differ only in the order of their processes have the same one,
// unless the clocks of some processes drift.
func (m *Model) fingerprint(s state) uint64 {
	if m.Drift == 0 {
		s.sortProcesses()
	}
	return maphash.Comparable(seed, s)
}

// sortProcesses exchanges processes, with their tokens, until they are in order.
func (s *state) sortProcesses() {
	order := [maxProcesses]int{0, 1, 2}
	compare := func(a, b int) int { return cmp.Compare(s.processes[b].key(), s.processes[a].key()) }
	if slices.IsSortedFunc(order[:], compare) {
		return
	}
	slices.SortStableFunc(order[:], compare)
	old := s.processes
	var to [maxProcesses]int
	for i, from := range order {
		s.processes[i], to[from] = old[from], i
	}
	s.forEachToken(func(t *token) {
		if *t != 0 {
			*t = name(to[t.process()], t.slot())
		}
	})
	s.sortPackets()
}

// key orders processes.
func (p *process) key() (key int64) {
	for _, v := range [...]int8{int8(p.phase), p.left, p.base, p.floor, bit(p.idle), bit(p.noticed), bit(p.overtaken), bit(p.stored)} {
		key = key<<7 | int64(v)
	}
	return key
}

func (s *state) sortPackets() {
	slices.SortFunc(s.net[:], func(a, b packet) int { return cmp.Compare(b.key(), a.key()) })
}

// key orders packets by their kinds first.
func (p packet) key() (key int64) {
	for _, v := range [...]int8{int8(p.kind), int8(p.token), int8(p.from), p.sent, p.base, bit(p.contended)} {
		key = key<<7 | int64(v)
	}
	return key
}

func bit(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

// canonical gives one form to all states that differ only in the names of claims, or in values that
// have no effect. Without it, the number of states would be infinite.
func (m *Model) canonical(s *state) {
	m.dropIneffective(s)
	if m.Claims > 1 {
		s.rename()
	}
	s.sortPackets()
	_ = slices.Compact(s.net[:]) // equal packets count once, because each can be delivered repeatedly
	m.rank(s)
}

// dropIneffective drops values that no longer have an effect: the ages of requests whose window has
// passed, replies to claims that have ended, and messages to holders.
func (m *Model) dropIneffective(s *state) {
	s.forEachSent(func(t token, sent *int8) {
		if s.claim(t) == nil || *sent >= m.TTL-m.Margin {
			*sent = m.TTL
		}
	})
	for i := range s.net {
		p := &s.net[i]
		if p.kind < granted {
			continue
		}
		c := s.claim(p.token)
		if c == nil || p.sent == m.TTL || p.kind == message && c.phase != asking || p.kind == notice && c.noticed {
			*p = packet{}
		}
	}
}

// rename gives each process's claims the names 0, 1, ... in the order of their appearance in the state.
func (s *state) rename() {
	var to [1 + maxProcesses*maxClaims]token
	var next [maxProcesses]int
	s.forEachToken(func(t *token) {
		if *t == 0 {
			return
		}
		if to[*t] == 0 {
			p := t.process()
			to[*t] = name(p, next[p])
			next[p]++
		}
		*t = to[*t]
	})
}

// rank replaces the fence bases and the clock by small numbers in the same order. It keeps gaps up to
// the amount by which the clock can be set back.
func (m *Model) rank(s *state) {
	if !m.fences() {
		s.clock = 1
		return
	}
	var all [8 + 2*maxProcesses + maxPackets]*int8
	n := copy(all[:], []*int8{&s.redis.last, &s.replica.last, &s.redis.valueBase, &s.replica.valueBase, &s.clock, &s.maxGranted, &s.maxKnown, &s.maxObserved})
	for i := range s.processes {
		all[n], all[n+1] = &s.processes[i].base, &s.processes[i].floor
		n += 2
	}
	for i := range s.net {
		all[n+i] = &s.net[i].base
	}
	slices.SortFunc(all[:], func(a, b *int8) int { return cmp.Compare(*a, *b) })
	var last, rank int8
	for _, b := range all {
		if *b > last {
			rank += min(*b-last, m.Back+1)
			last = *b
		}
		*b = rank
	}
}
