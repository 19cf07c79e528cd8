package redistest

import (
	"strings"
	"time"
)

// switches are the faults that are on.
type switches struct {
	delay, messageDelay       time.Duration
	holdRequests, holdReplies bool
	refuse, slice, duplicate  bool
	dropMessages              int
}

// set changes the switches and lets all that waits look at them again.
func (p *Proxy) set(change func(*switches)) {
	p.mu.Lock()
	change(&p.switches)
	p.mu.Unlock()
	for _, l := range p.open() {
		l.requests.notify()
		l.replies.notify()
	}
}

// SetDelay adds d to the way of each frame, in both directions: a round trip
// takes 2d longer. Frames that are on their way keep their delay.
func (p *Proxy) SetDelay(d time.Duration) { p.set(func(s *switches) { s.delay = d }) }

// Blackhole holds the bytes of both directions. Connections stay open, new ones
// are accepted, and a side that closes is not heard of by the other. Switched
// off, everything flows on in its order: the server then executes requests
// which their clients have long given up, as after a real network partition.
func (p *Proxy) Blackhole(on bool) {
	p.set(func(s *switches) { s.holdRequests, s.holdReplies = on, on })
}

// BlackholeRequests is Blackhole towards the server only. It does not change
// the other direction.
func (p *Proxy) BlackholeRequests(on bool) { p.set(func(s *switches) { s.holdRequests = on }) }

// BlackholeReplies is Blackhole towards the clients only: requests are executed
// and nobody learns of it. It does not change the other direction.
func (p *Proxy) BlackholeReplies(on bool) { p.set(func(s *switches) { s.holdReplies = on }) }

// CutNextReply lets the next request that contains match, in upper or lower
// case, reach the server, and closes the connection in place of the reply.
// Calls add up: each is good for one request. A SUBSCRIBE's reply is its first
// acknowledgement.
func (p *Proxy) CutNextReply(match string) { p.arm(match, cutReply) }

// LoseNextReply is like CutNextReply but leaves the connection open and, from
// the lost reply on, silent towards the client. Its requests still go on.
func (p *Proxy) LoseNextReply(match string) { p.arm(match, loseReply) }

// CutNextRequest closes the connection in place of forwarding the next request
// that contains match.
func (p *Proxy) CutNextRequest(match string) { p.arm(match, cutRequest) }

func (p *Proxy) arm(match string, f action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, rule{[]byte(strings.ToLower(match)), f})
}

// DropSubscribers closes the connections on which a SUBSCRIBE was seen, and
// returns their number.
func (p *Proxy) DropSubscribers() int {
	n := 0
	for _, l := range p.open() {
		if l.subscribed() && l.close() {
			n++
		}
	}
	return n
}

// DropMessages discards the next n pub/sub messages, in place of those still
// to be discarded by an earlier call. Each subscriber's copy counts.
func (p *Proxy) DropMessages(n int) { p.set(func(s *switches) { s.dropMessages = n }) }

// DelayMessages adds d to the way of pub/sub messages, which replies and
// acknowledgements on the same connection may then overtake.
func (p *Proxy) DelayMessages(d time.Duration) { p.set(func(s *switches) { s.messageDelay = d }) }

// DuplicateMessages delivers each pub/sub message twice.
func (p *Proxy) DuplicateMessages(on bool) { p.set(func(s *switches) { s.duplicate = on }) }

// Refuse closes the existing connections, and new ones as soon as they are
// made, as long as it is on.
func (p *Proxy) Refuse(on bool) {
	p.set(func(s *switches) { s.refuse = on })
	if on {
		p.CloseAll()
	}
}

// CloseAll closes the existing connections, and returns their number.
func (p *Proxy) CloseAll() int {
	n := 0
	for _, l := range p.open() {
		if l.close() {
			n++
		}
	}
	p.count(func(f *Faults) { f.Closed += int64(n) })
	return n
}

// Slice writes one byte at a time, so that a reader sees frames in pieces.
func (p *Proxy) Slice(on bool) { p.set(func(s *switches) { s.slice = on }) }

// Retarget forwards connections made from now on to another server. Use
// CloseAll to move the existing ones.
func (p *Proxy) Retarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

func (p *Proxy) dialTarget() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

func (p *Proxy) requestsHeld() bool { return p.now().holdRequests }
func (p *Proxy) repliesHeld() bool  { return p.now().holdReplies }
func (p *Proxy) slices() bool       { return p.now().slice }

func (p *Proxy) now() switches {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.switches
}
