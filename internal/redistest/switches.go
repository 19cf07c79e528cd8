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

// set changes the switches and wakes all waiting writers.
func (p *Proxy) set(change func(*switches)) {
	p.mu.Lock()
	change(&p.switches)
	p.mu.Unlock()
	for _, l := range p.open() {
		l.requests.notify()
		l.replies.notify()
	}
}

// SetDelay delays each frame by d, in both directions: a round trip takes 2d longer. Queued frames
// keep their delay.
func (p *Proxy) SetDelay(d time.Duration) { p.set(func(s *switches) { s.delay = d }) }

// Blackhole holds the bytes of both directions. It accepts new connections, and keeps the existing
// ones open even when one side closes. When it ends, all bytes flow in order: as after a network
// partition, the server executes requests that their clients have abandoned.
func (p *Proxy) Blackhole(on bool) {
	p.set(func(s *switches) { s.holdRequests, s.holdReplies = on, on })
}

// BlackholeRequests is Blackhole in the direction of the server. It does not change the other direction.
func (p *Proxy) BlackholeRequests(on bool) { p.set(func(s *switches) { s.holdRequests = on }) }

// BlackholeReplies is Blackhole in the direction of the clients: the server executes requests, but
// clients receive no replies. It does not change the other direction.
func (p *Proxy) BlackholeReplies(on bool) { p.set(func(s *switches) { s.holdReplies = on }) }

// CutNextReply forwards the next request that contains match, in upper or lower case, and closes the
// connection in place of its reply. Each call affects one request. The reply of a SUBSCRIBE is its
// first acknowledgement.
func (p *Proxy) CutNextReply(match string) { p.arm(match, cutReply) }

// LoseNextReply is like CutNextReply, but leaves the connection open. From the lost reply on, the
// client receives nothing. The proxy still forwards its requests.
func (p *Proxy) LoseNextReply(match string) { p.arm(match, loseReply) }

// CutNextRequest closes the connection in place of forwarding the next request that contains match.
func (p *Proxy) CutNextRequest(match string) { p.arm(match, cutRequest) }

func (p *Proxy) arm(match string, act action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, rule{[]byte(strings.ToLower(match)), act})
}

// DropSubscribers closes the connections with a SUBSCRIBE, and returns their number.
func (p *Proxy) DropSubscribers() int {
	n := 0
	for _, l := range p.open() {
		if l.subscribed() && l.close() {
			n++
		}
	}
	return n
}

// DropMessages discards the next n pub/sub messages. It replaces the number of an earlier call. Each
// subscriber's copy counts.
func (p *Proxy) DropMessages(n int) { p.set(func(s *switches) { s.dropMessages = n }) }

// DelayMessages delays pub/sub messages by d. Replies and acknowledgements on the same connection
// may overtake them.
func (p *Proxy) DelayMessages(d time.Duration) { p.set(func(s *switches) { s.messageDelay = d }) }

// DuplicateMessages delivers each pub/sub message twice.
func (p *Proxy) DuplicateMessages(on bool) { p.set(func(s *switches) { s.duplicate = on }) }

// Refuse closes the existing connections, and new ones immediately, while it is on.
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

// Slice writes one byte at a time: readers receive frames in pieces.
func (p *Proxy) Slice(on bool) { p.set(func(s *switches) { s.slice = on }) }

// Retarget forwards new connections to another server. Use CloseAll to move the existing ones.
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
