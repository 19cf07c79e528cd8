package model

// A Result is the result of Explore.
type Result struct {
	States, Transitions int
	Broken              Property // the violated property; 0 means that all states were visited
	Trace               []string // a shortest path to the violation
	Slowest             int      // ticks until all waiters have acquired the lock, from the worst state
	Stuck               string   // a state from which a waiter never acquires the lock
}

// Explore visits all reachable states, breadth first, until a state violates a property.
func (m *Model) Explore() Result {
	first := m.start()
	states, from := []state{first}, []int32{-1}
	visited := map[uint64]bool{m.fingerprint(first): true}
	var r Result
	for at := 0; at < len(states) && r.Broken == 0; at++ {
		m.next(states[at], func(_ action, n state) {
			r.Transitions++
			key := m.fingerprint(n)
			if visited[key] || r.Broken != 0 {
				return
			}
			visited[key] = true
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
