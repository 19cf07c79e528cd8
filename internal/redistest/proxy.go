package redistest

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Proxy between clients and a server injects faults into their connections. It parses RESP, so a
// fault can affect one reply or one message. All methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	raw      bool           // do not parse RESP
	running  sync.WaitGroup // the accepting goroutine, and one per link

	mu     sync.Mutex
	links  map[*link]struct{}
	closed bool
	target string
	rules  []rule
	faults Faults

	delay, messageDelay       time.Duration
	holdRequests, holdReplies bool
	refuse, slice, duplicate  bool
	dropMessages              int
}

// Faults counts what a [Proxy] did to the traffic. A test that relies on a fault checks here that
// the fault took place.
type Faults struct {
	Delayed            int64 // frames delayed by SetDelay
	Held               int64 // frames and new connections held by a black hole
	RepliesCut         int64 // by CutNextReply
	RepliesLost        int64 // by LoseNextReply; later replies on the same connection do not count
	RequestsCut        int64 // by CutNextRequest
	MessagesDropped    int64
	MessagesDelayed    int64
	MessagesDuplicated int64
	Refused            int64 // new connections closed by Refuse
	Closed             int64 // existing connections closed by Refuse and CloseAll
	Sliced             int64 // frames written byte by byte
	Answered           int64 // requests, by Answer
}

// NewProxy listens on a port of its own and forwards to target, until the end of the test.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	return newProxy(tb, target, false)
}

// NewForward is [NewProxy] for connections without RESP replies, such as a replica's. Only the
// faults of whole connections have an effect.
func NewForward(tb testing.TB, target string) *Proxy {
	tb.Helper()
	return newProxy(tb, target, true)
}

func newProxy(tb testing.TB, target string, raw bool) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	p := &Proxy{listener: l, raw: raw, target: target, links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	tb.Cleanup(p.Close)
	return p
}

// Addr returns the address for clients.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Port returns the port for clients.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Client connects through the proxy, as [Server.Client] does directly.
func (p *Proxy) Client(tb testing.TB, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	return connect(tb, options(p.Addr()), opts)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		switch {
		case p.closed:
			client.Close()
		case p.refuse:
			client.Close()
			p.faults.Refused++
		default:
			if p.holdRequests {
				p.faults.Held++
			}
			l := newLink(p, client)
			p.links[l] = struct{}{}
			p.running.Go(l.run)
		}
		p.mu.Unlock()
	}
}

// Close closes all connections, and waits for the goroutines of the proxy. The end of the test also
// closes it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.set(func() { p.closed = true })
	p.closeIf(func(*link) bool { return true })
	p.running.Wait()
}

// Faults returns the counts of the faults so far.
func (p *Proxy) Faults() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// set changes the faults that are on, and wakes all writers.
func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	for l := range p.links {
		l.requests.changed.Broadcast()
		l.replies.changed.Broadcast()
	}
}

// SetDelay delays each frame by d, in both directions: a round trip takes 2d longer. Queued frames
// keep their delay.
func (p *Proxy) SetDelay(d time.Duration) { p.set(func() { p.delay = d }) }

// Blackhole holds the bytes of both directions. It accepts new connections, and keeps the existing
// ones open even when one side closes. When it ends, all bytes flow in order: as after a network
// partition, the server executes requests that their clients have abandoned.
func (p *Proxy) Blackhole(on bool) { p.set(func() { p.holdRequests, p.holdReplies = on, on }) }

// BlackholeRequests is Blackhole in the direction of the server. It does not change the other direction.
func (p *Proxy) BlackholeRequests(on bool) { p.set(func() { p.holdRequests = on }) }

// BlackholeReplies is Blackhole in the direction of the clients: the server executes requests, but
// clients receive no replies. It does not change the other direction.
func (p *Proxy) BlackholeReplies(on bool) { p.set(func() { p.holdReplies = on }) }

// DropMessages discards the next n pub/sub messages. It replaces the number of an earlier call. Each
// subscriber's copy counts.
func (p *Proxy) DropMessages(n int) { p.set(func() { p.dropMessages = n }) }

// DelayMessages delays pub/sub messages by d. Replies and acknowledgements on the same connection
// may overtake them.
func (p *Proxy) DelayMessages(d time.Duration) { p.set(func() { p.messageDelay = d }) }

// DuplicateMessages delivers each pub/sub message twice.
func (p *Proxy) DuplicateMessages(on bool) { p.set(func() { p.duplicate = on }) }

// Slice writes one byte at a time: readers receive frames in pieces.
func (p *Proxy) Slice(on bool) { p.set(func() { p.slice = on }) }

// Retarget forwards new connections to another server. Use CloseAll to move the existing ones.
func (p *Proxy) Retarget(addr string) { p.set(func() { p.target = addr }) }

// Refuse closes the existing connections, and new ones immediately, while it is on.
func (p *Proxy) Refuse(on bool) {
	p.set(func() { p.refuse = on })
	if on {
		p.CloseAll()
	}
}

// CloseAll closes the existing connections, and returns their number.
func (p *Proxy) CloseAll() int {
	n := p.closeIf(func(*link) bool { return true })
	p.set(func() { p.faults.Closed += int64(n) })
	return n
}

// DropSubscribers closes the connections with a SUBSCRIBE, and returns their number.
func (p *Proxy) DropSubscribers() int { return p.closeIf(func(l *link) bool { return l.subscriber }) }

func (p *Proxy) closeIf(cond func(*link) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if !l.closed && cond(l) {
			l.close()
			n++
		}
	}
	return n
}

// A rule is a fault for the requests that contain match.
type rule struct {
	match string // in lower case
	fault fault
	reply string // of the proxy itself, in place of the server; the rule stays
}

// A fault is what a rule does to a request or to its reply.
type fault int

const (
	cutRequest fault = iota + 1
	cutReply
	loseReply
)

// CutNextReply forwards the next request that contains match, in upper or lower case, and closes the
// connection in place of its reply. Each call affects one request. The reply of a SUBSCRIBE is its
// first acknowledgement.
func (p *Proxy) CutNextReply(match string) { p.addRule(match, cutReply, "") }

// LoseNextReply is like CutNextReply, but leaves the connection open. From the lost reply on, the
// client receives nothing. The proxy still forwards its requests.
func (p *Proxy) LoseNextReply(match string) { p.addRule(match, loseReply, "") }

// CutNextRequest closes the connection in place of forwarding the next request that contains match.
func (p *Proxy) CutNextRequest(match string) { p.addRule(match, cutRequest, "") }

// Answer imitates another server: the proxy replies to each request that contains match with the
// error text, and does not forward it. An empty text ends that.
func (p *Proxy) Answer(match, text string) {
	p.set(func() {
		p.rules = slices.DeleteFunc(p.rules, func(r rule) bool { return r.reply != "" && r.match == strings.ToLower(match) })
	})
	if text != "" {
		p.addRule(match, 0, "-"+text+"\r\n")
	}
}

func (p *Proxy) addRule(match string, f fault, reply string) {
	p.set(func() { p.rules = append(p.rules, rule{strings.ToLower(match), f, reply}) })
}

// ruleFor returns the first rule that matches a request, and removes it if it is for one request.
func (p *Proxy) ruleFor(request []byte) rule {
	for i, r := range p.rules {
		if bytes.Contains(bytes.ToLower(request), []byte(r.match)) {
			if r.reply == "" {
				p.rules = slices.Delete(p.rules, i, i+1)
			}
			return r
		}
	}
	return rule{}
}
