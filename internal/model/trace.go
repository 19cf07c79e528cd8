package model

import (
	"fmt"
	"slices"
	"strings"
)

// An action is a transition between two states: of a process, of Redis, or of a packet.
type action struct {
	by, event string
	packet    packet
}

func (a action) String() string {
	if a.packet.kind != nothing {
		return a.packet.String() + " " + a.event
	}
	return a.by + a.event
}

// letters are the names of the processes.
var letters = [maxProcesses]string{"A", "B", "C"}

// String returns the name of the claim's process, with primes for slots above 0.
func (t token) String() string {
	if t == 0 {
		return "none"
	}
	return letters[t.process()] + strings.Repeat("'", t.slot())
}

func (p packet) String() string {
	what := [...]string{
		acquire: "acquire", yield: "yield", release: "release", renew: "renew", write: "the value of",
		granted: "the grant for", kept: "the renewal's reply for", message: "the message for", notice: "the notice for",
	}[p.kind]
	if p.kind == yield {
		what += fmt.Sprintf(" %v to", p.from)
	}
	return what + " " + p.token.String()
}

// String describes the state of Redis and of the processes.
func (s state) String() string {
	text := "free"
	if s.redis.owner != 0 {
		text = fmt.Sprintf("held by %v for %d", s.redis.owner, s.redis.left)
	}
	for _, e := range s.redis.queue {
		if e.token != 0 {
			text += ", then " + e.token.String()
		}
	}
	for i, p := range s.processes {
		switch {
		case p.phase == asking:
			text += fmt.Sprintf("; %s waits", letters[i])
		case p.phase == held:
			text += fmt.Sprintf("; %s %s for %d", letters[i], map[bool]string{false: "holds", true: "lingers"}[p.idle], p.left)
		}
	}
	return text
}

// trace returns the steps to the last of the states.
func (m *Model) trace(states []state, from []int32) (steps []string) {
	for at := int32(len(states) - 1); at > 0; at = from[at] {
		var by *action
		m.next(states[from[at]], func(a action, n state) {
			if by == nil && n == states[at] {
				by = &a
			}
		})
		steps = append(steps, fmt.Sprintf("%-60s %v", *by, states[at]))
	}
	slices.Reverse(steps)
	return steps
}
