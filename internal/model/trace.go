package model

import (
	"fmt"
	"strings"
)

// action is a transition between two states.
type action struct {
	event  string
	actor  int // a process, or a constant below
	packet packet
	slow   uint
}

const (
	server  = -1
	network = -2
	clocks  = -3
)

func (a action) String() string {
	switch a.actor {
	case server:
		return "Redis " + a.event
	case network:
		return a.packet.String() + " " + a.event
	case clocks:
		for i := range maxProcesses {
			if a.slow&(1<<i) != 0 {
				a.event += ", except on the clock of " + letter(i)
			}
		}
		return a.event
	}
	return letter(a.actor) + " " + a.event
}

func letter(process int) string { return string(rune('A' + process)) }

// String returns the name of the claim's process, with primes for slots above 0.
func (t token) String() string {
	if t == 0 {
		return "none"
	}
	return letter(t.process()) + strings.Repeat("'", t.slot())
}

var kinds = [...]string{
	acquire: "acquire", yield: "yield", release: "release", renew: "renew", write: "the value of",
	granted: "the grant", kept: "the renewal's reply", message: "the message", notice: "the notice",
}

func (p packet) String() string {
	switch {
	case p.kind == yield:
		return fmt.Sprintf("yield %v to %v", p.from, p.token)
	case p.kind < granted:
		return fmt.Sprintf("%s %v", kinds[p.kind], p.token)
	}
	return fmt.Sprintf("%s for %v", kinds[p.kind], p.token)
}

// String describes the state of Redis and of the processes.
func (s state) String() string {
	var b strings.Builder
	if b.WriteString("free"); s.redis.owner != 0 {
		b.Reset()
		fmt.Fprintf(&b, "held by %v for %d", s.redis.owner, s.redis.left)
	}
	for _, e := range s.redis.queue {
		if e.token != 0 {
			fmt.Fprintf(&b, ", then %v", e.token)
		}
	}
	for i, p := range s.processes {
		switch p.phase {
		case asking:
			fmt.Fprintf(&b, "; %s waits", letter(i))
		case held:
			verb := "holds"
			if p.idle {
				verb = "lingers"
			}
			fmt.Fprintf(&b, "; %s %s for %d", letter(i), verb, p.left)
		}
	}
	return b.String()
}

// trace returns the steps to the last of the states.
func (m *Model) trace(states []state, from []int32) []string {
	var path []int32
	for at := int32(len(states) - 1); at > 0; at = from[at] {
		path = append([]int32{at}, path...)
	}
	var out []string
	for _, at := range path {
		var by *action
		m.next(states[from[at]], func(a action, n state) {
			if by == nil && n == states[at] {
				by = &a
			}
		})
		out = append(out, fmt.Sprintf("%-60s %v", *by, states[at]))
	}
	return out
}
