package redistest

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"time"
)

// A link is one connection through a [Proxy]. Each direction has a reader that applies the faults, a
// queue, and a writer.
type link struct {
	proxy    *Proxy
	client   net.Conn
	requests *queue // to the server
	replies  *queue // to the client

	mu         sync.Mutex
	server     net.Conn // nil before the dial
	pending    []*request
	resp3      bool // the client has sent HELLO 3
	subscriber bool // the client has sent a SUBSCRIBE
	silent     bool // a reply was lost, and no later one may take its place
	closed     bool
}

func newLink(p *Proxy, client net.Conn) *link {
	return &link{proxy: p, client: client, requests: newQueue(p.requestsHeld), replies: newQueue(p.repliesHeld)}
}

// run serves the connection until it is closed.
func (l *link) run() {
	defer l.close()
	// A black hole accepts connections, but does not connect to the server.
	if !l.requests.pass() {
		return
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.DialContext(l.proxy.ctx, "tcp", l.proxy.dialTarget())
	if err != nil {
		return
	}
	l.mu.Lock()
	l.server = server
	closed := l.closed
	l.mu.Unlock()
	if closed {
		server.Close()
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { l.readRequests(bufio.NewReader(l.client)) })
	parts.Go(func() { l.readReplies(bufio.NewReader(server)) })
	parts.Go(func() { l.write(server, l.requests) })
	parts.Go(func() { l.write(l.client, l.replies) })
	parts.Wait()
}

// close is idempotent. It reports whether this call closed the link.
func (l *link) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	l.requests.close()
	l.replies.close()
	l.client.Close()
	if l.server != nil {
		l.server.Close()
	}
	return true
}

func (l *link) readRequests(r *bufio.Reader) {
	for {
		frame, err := readFrame(r)
		if err != nil {
			l.requests.end(l.proxy.latency())
			return
		}
		req := newRequest(frame)
		req.action = l.proxy.matchRule(req.command, frame)
		if req.action == cutRequest {
			l.requests.end(l.proxy.latency())
			return
		}
		if req.answer = l.proxy.answerTo(frame); req.answer != nil {
			frame, req.command, req.acks = array("ECHO", ""), "echo", 0 // to keep the order of the replies
		}
		l.expect(req)
		l.requests.put(frame, replies, l.proxy.dispatch(l.requests.held()))
	}
}

// expect adds a request to those without a reply.
func (l *link) expect(req *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, req)
	if req.command == "hello" {
		l.resp3 = req.argument == "3"
	}
	if strings.HasSuffix(req.command, "subscribe") && !strings.Contains(req.command, "unsub") {
		l.subscriber = true
	}
}

func (l *link) subscribed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.subscriber
}

func (l *link) readReplies(r *bufio.Reader) {
	for {
		frame, err := readFrame(r)
		if err != nil {
			l.replies.end(l.proxy.latency())
			return
		}
		act, message, answer := l.classify(frame)
		if answer != nil {
			frame = answer
		}
		switch {
		case act == cutReply:
			l.proxy.count(func(f *Faults) { f.RepliesCut++ })
			l.replies.end(l.proxy.latency())
			return
		case act == loseReply: // classify counts only the first
		case message:
			copies, delay := l.proxy.deliver(l.replies.held())
			for range copies {
				l.replies.put(frame, messages, delay)
			}
		default:
			l.replies.put(frame, replies, l.proxy.dispatch(l.replies.held()))
		}
	}
}

// classify returns what to do with a frame from the server, whether the frame is a message, and the
// reply to send in its place, if any.
func (l *link) classify(frame []byte) (act action, message bool, answer []byte) {
	kind := ""
	l.mu.Lock()
	defer l.mu.Unlock()
	// Before HELLO 3, a subscriber's pushes look like any other array.
	if frame[0] == '>' || frame[0] == '*' && l.subscriber && !l.resp3 {
		if list, _ := words(frame, 1); len(list) > 0 {
			kind = strings.ToLower(list[0])
		}
	}
	message = kind == "message" || kind == "pmessage" || kind == "smessage"
	acknowledges := strings.HasSuffix(kind, "subscribe")
	if l.silent {
		return loseReply, message, nil
	}
	if message || frame[0] == '>' && !acknowledges {
		return forward, message, nil
	}
	req := l.answered(kind, acknowledges)
	if req == nil {
		return forward, false, nil
	}
	if req.action == loseReply {
		l.silent = true
		l.proxy.count(func(f *Faults) { f.RepliesLost++ })
	}
	return req.action, false, req.answer
}

// answered returns the request that the frame answers, and removes it after its last frame: the
// server acknowledges a SUBSCRIBE once per channel.
func (l *link) answered(kind string, acknowledges bool) *request {
	for len(l.pending) > 0 {
		req := l.pending[0]
		if acknowledges && kind == req.command {
			if req.seen++; req.seen == req.acks {
				l.pending = l.pending[1:]
			}
			return req
		}
		if acknowledges && req.acks == 0 {
			return nil // without a request: the server has ended a subscription
		}
		l.pending = l.pending[1:]
		if req.seen == 0 {
			return req
		}
		// The frame before was the last one of an UNSUBSCRIBE from all channels.
	}
	return nil
}

// write writes the frames of the queue to one side. After a failed write it only empties the queue:
// the reader of that side queues the close, behind the frames before it.
func (l *link) write(to net.Conn, q *queue) {
	var failed error
	var due []byte // all frames that are due are one write
	for {
		p, ok := q.next()
		if !ok {
			return
		}
		due = append(due, p.frame...)
		if p.frame != nil && q.ready() {
			continue
		}
		step := max(len(due), 1)
		if l.proxy.slices() {
			step = 1
		}
		for b := due; len(b) > 0 && failed == nil; b = b[step:] {
			_, failed = to.Write(b[:step])
		}
		due = due[:0]
		if p.frame == nil {
			l.close()
			return
		}
	}
}
