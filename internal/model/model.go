package model

// A Model is one instance: its sizes, and what may go wrong besides the network.
type Model struct {
	Processes, Packets       int
	Claims                   int  // of a process; one that is over counts as long as anything names it
	TTL, Grant, Life, Margin int8 // T, G, W and d of PROTOCOL.md, in ticks
	Batch                    int8 // dead entries of the queue that one script drops at most, 0: all
	Drift                    int  // of so many processes the clocks may lose a tick, but only one in TTL
	Progress                 bool // look whether everybody gets in
	Leases                   bool // a claim may serve leases that came after it was made
	Linger                   bool // a claim may be kept after the unlock
	Values                   bool // a holder stores a value, which an observer reads; Check must have S2
	Faults                   Fault
	Outage, Back             int8 // ticks: see Fault
	Mutant                   Mutant
	Check                    Property // what is not to be violated
}

// A Property is a promise.
type Property uint8

const (
	// S1: no two processes believe at the same time that they hold the lock.
	S1 Property = 1 << iota
	// S2: the fence of a hold is above that of every hold that a process knew of before this one
	// was requested, and no two claims have the same.
	S2
	// V1: an observer sees values in the order of their fences.
	V1
	// V2: a value is stored under the hold of its writer only, and is seen as long as that lasts.
	V2
)

func (p Property) String() string { return [...]string{S1: "S1", S2: "S2", V1: "V1", V2: "V2"}[p] }

// A Mutant is a mistake built into the model.
type Mutant uint8

const (
	Faithful          Mutant = iota
	WindowFromArrival        // of a message
	WindowFromLatest         // the latest request, not the one that a message echoes
	ReleaseAny               // release does not look whose the lock is
	RenewCreates             // renew makes the token the owner, whoever is
	TokenReused              // by the claims of a process
	YieldKeepsToken
	FenceCounts // without the clock
	Revives     // an answer extends a window that has passed
	NoNotice    // the owner gets no notice that others wait
	NoticeIgnored
	RenewsIdle       // a claim that only lingers is renewed
	LingersPastV     // and gives a lease after its window
	WriteUnchecked   // a value is stored whoever the owner is
	ClearAny         // and deleted while somebody holds the lock
	OwnerUnchecked   // an observer does not check the owner
	ObserverGoesBack // or which values it has seen
)

// start is the state in which everything begins.
func (m *Model) start() state {
	s := state{clock: 1, faults: m.Faults}
	m.canonical(&s)
	return s
}

// next shows every state that can follow s, and what leads there.
func (m *Model) next(s state, emit func(action, state)) {
	show := func(a action, n state) {
		n.broken &= m.Check
		m.canonical(&n)
		emit(a, n)
	}
	for i := range m.Processes {
		m.act(s, i, func(what string, n state) { show(action{what: what, who: i}, n) })
	}
	m.transmit(s, func(what string, q packet, n state) { show(action{what: what, who: network, packet: q}, n) })
	m.suffer(s, func(what string, n state) { show(action{what: what, who: server}, n) })
	m.look(s, func(what string, n state) { show(action{what: what, who: server}, n) })
	for slow := range uint(1) << m.Drift {
		if n := s; m.mayLose(&s, slow) {
			m.tick(&n, slow)
			show(action{what: "a tick passes", who: clocks, slow: slow}, n)
		}
	}
}
