package redistest

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// A link is one connection through a [Proxy]. Each direction has a reader that applies the faults, a
// queue, and a writer. The proxy's mutex guards all fields.
type link struct {
	proxy      *Proxy
	client     net.Conn
	server     net.Conn // nil before the dial
	requests   *queue   // to the server
	replies    *queue   // to the client
	pending    []pendingRequest
	subscriber bool // the client has sent a SUBSCRIBE
	silent     bool // a reply was lost, and no later one may take its place
	closed     bool
}

// A pendingRequest waits for its reply.
type pendingRequest struct {
	command string
	rule    rule
	replies int // one, or one per channel of a SUBSCRIBE
}

func newLink(p *Proxy, client net.Conn) *link {
	return &link{proxy: p, client: client, requests: newQueue(p, &p.holdRequests), replies: newQueue(p, &p.holdReplies)}
}

// run serves the connection until it is closed.
func (l *link) run() {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	defer delete(p.links, l)
	// A black hole accepts connections, but does not connect to the server.
	for p.holdRequests && !l.closed {
		l.requests.changed.Wait()
	}
	target := p.target
	p.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	p.mu.Lock()
	if err != nil {
		l.close()
		return
	}
	if l.server = server; l.closed {
		server.Close()
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { l.read(l.client, l.requests, l.request) })
	parts.Go(func() { l.read(server, l.replies, l.reply) })
	parts.Go(func() { l.write(server, l.requests) })
	parts.Go(func() { l.write(l.client, l.replies) })
	p.mu.Unlock()
	parts.Wait()
	p.mu.Lock()
}

// close closes both sides.
func (l *link) close() {
	l.closed = true
	l.client.Close()
	if l.server != nil {
		l.server.Close()
	}
	l.requests.changed.Broadcast()
	l.replies.changed.Broadcast()
}

// read reads one side until its end, or until put returns false. Then the queue ends.
func (l *link) read(from net.Conn, q *queue, put func(frame []byte) bool) {
	next := readFrame
	if l.proxy.raw {
		next = readSome
	}
	for r, more := bufio.NewReader(from), true; more; {
		frame, err := next(r)
		l.proxy.mu.Lock()
		if more = err == nil && put(frame); !more {
			q.put(nil, &q.last, l.proxy.delay)
		}
		l.proxy.mu.Unlock()
	}
}

// request forwards a request. It returns false to close the connection.
func (l *link) request(frame []byte) bool {
	p := l.proxy
	if p.raw {
		l.forward(l.requests, frame)
		return true
	}
	command, words := head(frame)
	r := p.ruleFor(frame)
	if r.fault == cutRequest {
		p.faults.RequestsCut++
		return false
	}
	req := pendingRequest{command, r, 1}
	switch {
	case r.reply != "":
		p.faults.Answered++
		req.command, frame = "echo", array("ECHO", "") // keeps the order of the replies
	case strings.HasSuffix(command, "subscribe"):
		req.replies = words - 1
		l.subscriber = l.subscriber || !strings.HasSuffix(command, "unsubscribe")
	}
	l.pending = append(l.pending, req)
	l.forward(l.requests, frame)
	return true
}

// reply forwards a reply or a message. It returns false to close the connection.
func (l *link) reply(frame []byte) bool {
	p, kind := l.proxy, ""
	if frame[0] == '>' || frame[0] == '*' && l.subscriber { // with RESP2, a message is an array
		kind, _ = head(frame)
	}
	switch r := l.answered(frame[0] == '>', kind); {
	case p.raw || l.silent:
	case strings.HasSuffix(kind, "message"):
		l.message(frame)
		return true
	case r.fault == cutReply:
		p.faults.RepliesCut++
		return false
	case r.fault == loseReply:
		p.faults.RepliesLost++
		l.silent = true
	case r.reply != "":
		frame = []byte(r.reply)
	}
	if !l.silent {
		l.forward(l.replies, frame)
	}
	return true
}

// answered returns the rule of the request that a frame answers, and removes the request after its last reply.
func (l *link) answered(push bool, kind string) (r rule) {
	acknowledges := strings.HasSuffix(kind, "subscribe")
	if len(l.pending) == 0 || strings.HasSuffix(kind, "message") || push && !acknowledges {
		return rule{}
	}
	req := &l.pending[0]
	if acknowledges && req.command != kind {
		return rule{} // the server has ended a subscription
	}
	r, req.rule = req.rule, rule{}
	if req.replies--; req.replies == 0 || !acknowledges {
		l.pending = l.pending[1:]
	}
	return r
}

// forward queues a request or a reply.
func (l *link) forward(q *queue, frame []byte) {
	q.put(frame, &q.last, l.delay(q))
}

// message queues the copies of a message.
func (l *link) message(frame []byte) {
	p := l.proxy
	if p.dropMessages > 0 {
		p.dropMessages--
		p.faults.MessagesDropped++
		return
	}
	copies, delay := 1, l.delay(l.replies)+p.messageDelay
	if p.messageDelay > 0 {
		p.faults.MessagesDelayed++
	}
	if p.duplicate {
		p.faults.MessagesDuplicated++
		copies = 2
	}
	for range copies {
		l.replies.put(frame, &l.replies.lastMessage, delay)
	}
}

// delay counts a frame, and returns its delay.
func (l *link) delay(q *queue) time.Duration {
	p := l.proxy
	if *q.held {
		p.faults.Held++
	}
	if p.delay > 0 {
		p.faults.Delayed++
	}
	if p.slice {
		p.faults.Sliced++
	}
	return p.delay
}

// write writes the frames of the queue to one side. After a failed write it only empties the queue:
// the reader of that side queues the close, behind the frames before it.
func (l *link) write(to net.Conn, q *queue) {
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	for failed := error(nil); !l.closed; {
		due, end, n := q.take()
		if n == 0 {
			q.changed.Wait()
			continue
		}
		step := max(len(due), 1)
		if p.slice {
			step = 1
		}
		p.mu.Unlock()
		for b := range slices.Chunk(due, step) {
			if failed == nil {
				_, failed = to.Write(b)
			}
		}
		p.mu.Lock()
		if end {
			l.close()
		}
	}
}

// A queue has the frames to write to one side of a link, by the times at which they are due.
type queue struct {
	held    *bool // by a black hole
	changed sync.Cond
	frames  []queuedFrame
	// Due times. Messages may be delayed while replies are not.
	last, lastMessage time.Time
}

type queuedFrame struct {
	frame []byte // nil closes the connection
	due   time.Time
}

func newQueue(p *Proxy, held *bool) *queue { return &queue{held: held, changed: sync.Cond{L: &p.mu}} }

// put adds a frame that is due after the delay, but not before the last one of its kind.
func (q *queue) put(frame []byte, last *time.Time, delay time.Duration) {
	due := time.Now().Add(delay)
	if due.Before(*last) {
		due = *last
	}
	*last = due
	i := len(q.frames)
	if frame == nil && i > 0 && q.frames[i-1].due.After(due) {
		due = q.frames[i-1].due
	}
	for i > 0 && q.frames[i-1].due.After(due) {
		i--
	}
	q.frames = slices.Insert(q.frames, i, queuedFrame{frame, due})
	if delay == 0 {
		q.changed.Broadcast()
		return
	}
	time.AfterFunc(time.Until(due), func() {
		q.changed.L.Lock()
		defer q.changed.L.Unlock()
		q.changed.Broadcast()
	})
}

// take removes the n frames that are due. end reports whether the last one closes the connection.
func (q *queue) take() (due []byte, end bool, n int) {
	for _, f := range q.frames {
		if *q.held || time.Now().Before(f.due) {
			break
		}
		due, end = append(due, f.frame...), f.frame == nil
		n++
	}
	q.frames = q.frames[n:]
	return due, end, n
}
