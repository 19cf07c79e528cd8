package model

// A Result is what Explore found.
type Result struct {
	States, Transitions int
	Broken              Property // 0 if nothing is, and then the states are all there are
	Trace               []string // a shortest way to it
	Slowest             int      // ticks until all waiters had the lock, from the worst state
	Stuck               string   // a state from which some waiter never has it
}

// Explore goes through all states that can be reached, breadth first, until one
// violates a property.
func (m *Model) Explore() Result {
	first := m.start()
	states, from := []state{first}, []int32{-1}
	seen := map[state]struct{}{first: {}}
	var r Result
	for at := 0; at < len(states) && r.Broken == 0; at++ {
		m.next(states[at], func(_ action, n state) {
			r.Transitions++
			if _, ok := seen[n]; ok || r.Broken != 0 {
				return
			}
			seen[n] = struct{}{}
			states, from = append(states, n), append(from, int32(at))
			r.Broken = n.broken
		})
	}
	if r.States = len(states); r.Broken != 0 {
		r.Trace = m.trace(states, from)
	} else if m.Progress {
		m.progress(states, &r)
	}
	return r
}
