package model

// The network delays packets for any time, and delivers them in any order, repeatedly, or never.

// send puts a packet into the network. A full network loses it.
func (m *Model) send(s *state, p packet) {
	for i := range m.Packets {
		if s.net[i].kind == nothing {
			s.net[i] = p
			return
		}
	}
}

// transmit emits the states after all actions of the network.
func (m *Model) transmit(s state, next func(string, packet, state)) {
	for i, q := range s.net {
		if q.kind == nothing {
			return
		}
		n := s
		n.net[i] = packet{}
		next("is lost", q, n)
		m.deliver(&n, q)
		next("arrives", q, n)
		n = s
		m.deliver(&n, q)
		next("arrives, and may arrive again", q, n)
	}
}

func (m *Model) deliver(s *state, q packet) {
	if q.kind < granted {
		m.execute(s, q)
	} else {
		m.receive(s, q)
	}
}
