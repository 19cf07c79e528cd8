package model

const (
	maxProcesses = 3
	maxClaims    = 3 // tokens of a process that anything still refers to
	maxPackets   = 4
	maxQueue     = 6 // so not the most of both processes and claims
	numbers      = 3 // requests of a claim that are distinguished; the engine keeps four
)

// token names a claim: 0 is nobody's. That of process p and slot i is
// 1 + p·maxClaims + i; names of claims that nothing refers to are used again.
type token int8

func (t token) process() int { return int(t-1) / maxClaims }
func (t token) slot() int    { return int(t-1) % maxClaims }

func name(process, slot int) token { return token(1 + process*maxClaims + slot) }

// A state is all there is at one moment. It is comparable, and once canonical it
// is its own key in the table of states that have been reached. All times are
// relative: what is left, or how old it is.
type state struct {
	redis, replica redis // a replica that has stopped following: what a failover brings back
	lags           bool  // there is one
	processes      [maxProcesses]process
	net            [maxPackets]packet // a set, sorted; empty ones last

	clock  int8  // Redis' own, as fences see it: see grant
	given  int8  // the highest base that Redis ever gave, whatever it has lost since
	heard  int8  // the highest base that a process knows of
	seen   int8  // the highest base of a value that the observer has seen
	faults Fault // that may still happen
	broken Property
}

// redis is what the scripts work on.
type redis struct {
	owner token
	left  int8 // ticks until the lock expires
	queue [maxQueue]entry
	last  int8 // fence base, 0 if lost

	value     token // of its writer, 0 if there is none
	valueBase int8
}

type entry struct {
	token  token
	number int8 // of the last request that Redis executed; 0 is one whose window has passed
	age    int8 // ticks since then
}

type phase int8

const (
	idle phase = iota
	asking
	held
)

// process is what one process knows: it has one claim, as a line has.
type process struct {
	phase  phase
	token  token
	from   token         // the claim that is given up for this one
	sent   [numbers]int8 // age of request i+1 on this process's clock
	latest int8          // age of the last queueing request; only a mutant looks at it
	left   int8          // held: ticks until V; 0 is seen with the mutant Revives only
	base   int8          // held: of its fences
	floor  int8          // asking: the highest base known before the request
	rest   int8          // ticks until its clock may lose one again
	idle   bool          // held: nobody uses the claim, it only lingers
	known  bool          // the process knows that others wait
	late   bool          // held: somebody else was let in after V
	stored bool          // held: its value has been stored
}

type kind int8

const (
	nothing kind = iota
	acquire      // requests
	yield
	release
	renew
	write
	granted // replies: those that make no difference are not sent
	kept
	message
	notice // that others wait
)

// packet is anything under way.
type packet struct {
	kind        kind
	token, from token
	number      int8
	base        int8
	contended   bool // others wait
}

// claim returns the process whose claim the token is now, nil if it is over.
func (s *state) claim(t token) *process {
	if p := &s.processes[t.process()]; p.phase != idle && p.token == t {
		return p
	}
	return nil
}

// refersTo reports whether anything names the token.
func (s *state) refersTo(t token) bool {
	for _, p := range s.processes {
		if p.token == t || p.from == t {
			return true
		}
	}
	for _, r := range [...]*redis{&s.redis, &s.replica} {
		if r.owner == t || r.value == t || r.queued(t) {
			return true
		}
	}
	for _, p := range s.net {
		if p.token == t || p.from == t {
			return true
		}
	}
	return false
}

// numbered calls f for everything that names a request of a claim.
func (s *state) numbered(f func(t token, number *int8)) {
	for i := range s.net {
		if p := &s.net[i]; p.number > 0 {
			f(p.token, &p.number)
		}
	}
	for _, r := range [...]*redis{&s.redis, &s.replica} {
		for i := range r.queue {
			if e := &r.queue[i]; e.number > 0 {
				f(e.token, &e.number)
			}
		}
	}
}
