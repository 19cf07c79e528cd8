package model

// A Model is one configuration: its sizes, and the faults in addition to those of the network.
type Model struct {
	Processes, Packets       int
	Claims                   int  // tokens of a process in use; an ended claim counts while anything names its token
	TTL, Grant, Life, Margin int8 // T, G, W and d of PROTOCOL.md, in ticks
	Batch                    int8 // maximum of stale queue entries that one script drops; 0 means all
	Drift                    int  // number of processes whose clocks may lose one tick per TTL, at most 2
	Progress                 bool // check that all waiters acquire the lock
	Leases                   bool // a claim may serve leases requested after it
	Linger                   bool // a claim may be kept after the unlock
	Values                   bool // a holder stores a value, and an observer reads it; Check must include S2
	Faults                   Fault
	Outage, Back             int8 // in ticks, see Fault
	Mutant                   Mutant
	Check                    Property // the properties to check
}

// A Property is a guarantee of the protocol.
type Property uint8

const (
	// S1: no two processes believe at the same time that they hold the lock.
	S1 Property = 1 << iota
	// S2: the fence of a hold is above that of every hold that a process knew before this hold was
	// requested, and no two claims have the same fence.
	S2
	// V1: an observer sees values in the order of their fences.
	V1
	// V2: a value is stored only under its writer's hold, and observers see it while that hold lasts.
	V2
)

func (p Property) String() string { return [...]string{S1: "S1", S2: "S2", V1: "V1", V2: "V2"}[p] }

// A Mutant is a mistake built into the model.
type Mutant uint8

const (
	Faithful          Mutant = iota
	WindowFromArrival        // of a message, instead of its request's send time
	WindowFromLatest         // from the latest request, not the one that a packet names
	ReleaseAny               // release does not check the owner
	RenewCreates             // renew does not check the owner
	TokenReused              // claims of a process use the same token
	YieldKeepsToken
	FenceCounts // fences do not use the clock
	Revives     // a reply extends a window that has passed
	NoNotice    // the owner gets no notice of waiters
	NoticeIgnored
	RenewsIdle       // a lingering claim is renewed
	LingersPastV     // a lingering claim serves a lease after its window
	WriteUnchecked   // storing a value does not check the owner
	ClearAny         // a value is deleted while the lock is held
	OwnerUnchecked   // an observer does not check the owner
	ObserverGoesBack // an observer does not check the fence of the last value
)

// start returns the initial state.
func (m *Model) start() state { return state{clock: 1, faults: m.Faults} }

// fences reports whether the model has fences.
func (m *Model) fences() bool { return m.Check&S2 != 0 }

// next emits every successor of s, with the action that leads to it.
func (m *Model) next(s state, emit func(action, state)) {
	show := func(a action, n state) {
		n.broken &= m.Check
		m.canonical(&n)
		emit(a, n)
	}
	for i := range m.Processes {
		m.act(s, i, func(event string, n state) { show(action{by: letters[i] + " ", event: event}, n) })
	}
	m.transmit(s, func(event string, q packet, n state) { show(action{event: event, packet: q}, n) })
	onServer := func(event string, n state) { show(action{by: "Redis ", event: event}, n) }
	m.applyFaults(s, onServer)
	m.observers(s, onServer)
	for slow, event := range [...]string{"a tick passes", "a tick passes, except for A", "a tick passes, except for B", "a tick passes, except for A and B"} {
		if n := s; slow < 1<<m.Drift && m.mayLose(&s, slow) {
			m.tick(&n, slow)
			show(action{event: event}, n)
		}
	}
}
