package model

const (
	maxProcesses = 3
	maxClaims    = 3 // tokens of a process in use
	maxPackets   = 4
	maxQueue     = 6 // less than maxProcesses times maxClaims
)

// token names a claim; 0 means none. The token of process p and slot i is 1 + p·maxClaims + i. A token
// that nothing refers to is reused.
type token int8

func (t token) process() int { return int(t-1) / maxClaims }
func (t token) slot() int    { return int(t-1) % maxClaims }

func name(process, slot int) token { return token(1 + process*maxClaims + slot) }

// A state is the whole system at one moment. All times are relative: remaining times or ages.
type state struct {
	redis, replica redis // the replica has stopped replicating; a failover restores it
	replicaLags    bool  // there is such a replica
	processes      [maxProcesses]process
	net            [maxPackets]packet // a sorted set; empty packets last

	clock       int8  // Redis' clock as used in fences: see grant
	maxGranted  int8  // the highest base that Redis has ever granted
	maxKnown    int8  // the highest base that a process knows
	maxObserved int8  // the highest base of an observed value
	faults      Fault // faults that may still happen
	broken      Property
}

// redis is the data of the scripts.
type redis struct {
	owner token
	left  int8 // ticks until the lock expires
	queue [maxQueue]entry
	last  int8 // last fence base; 0 if lost

	value     token // token of the value's writer; 0 means no value
	valueBase int8
}

type entry struct {
	token token
	sent  int8 // age of the last executed request, by the clock of its process, at most TTL
	age   int8 // ticks since Redis executed it
}

type phase int8

const (
	none phase = iota
	asking
	held
)

// process is the state of one process, which has one claim.
type process struct {
	phase      phase
	token      token
	from       token // the claim that this one replaces
	left       int8  // held: ticks until V; 0 occurs only with the mutants Revives and LingersPastV
	base       int8  // held: base of its fences
	floor      int8  // asking: the highest base known before the request
	driftPause int8  // ticks until its clock may lose a tick again
	idle       bool  // held: the claim only lingers
	noticed    bool  // the process knows of other waiters
	overtaken  bool  // held: another process has acquired the lock after V
	stored     bool  // held: its value is stored
}

type kind int8

const (
	nothing kind = iota
	acquire      // requests
	yield
	release
	renew
	write
	granted // replies; replies without an effect are not sent
	kept
	message
	notice // of waiters
)

// packet is a request, reply, message or notice in transit.
type packet struct {
	kind        kind
	token, from token
	sent        int8 // age of the request, or of the request that it answers or names: see entry
	base        int8
	contended   bool // other processes wait
}

// claim returns the process whose current claim has the token, or nil if that claim has ended.
func (s *state) claim(t token) *process {
	if p := &s.processes[t.process()]; p.phase != none && p.token == t {
		return p
	}
	return nil
}

// forEachToken calls f for each place of a token.
func (s *state) forEachToken(f func(t *token)) {
	for i := range s.processes {
		f(&s.processes[i].token)
		f(&s.processes[i].from)
	}
	for _, r := range [...]*redis{&s.redis, &s.replica} {
		f(&r.owner)
		f(&r.value)
		for i := range r.queue {
			f(&r.queue[i].token)
		}
	}
	for i := range s.net {
		f(&s.net[i].token)
		f(&s.net[i].from)
	}
}

// forEachSent calls f for the age of each request whose reply or message may still arrive.
func (s *state) forEachSent(f func(t token, sent *int8)) {
	for i := range s.net {
		if p := &s.net[i]; p.kind != nothing && p.kind != release && p.kind != write && p.kind != notice {
			f(p.token, &p.sent)
		}
	}
	for _, r := range [...]*redis{&s.redis, &s.replica} {
		for i := range r.queue {
			if e := &r.queue[i]; e.token != 0 {
				f(e.token, &e.sent)
			}
		}
	}
}
