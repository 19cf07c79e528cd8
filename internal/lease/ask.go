package lease

import (
	"context"
	"errors"
	"time"
)

const (
	// patience is how long a claim delays its first queue entry for the
	// subscription that will hear of the hand-over. After that it polls.
	patience = PollBound / 2
	// grace is how long giving a claim back waits for the request under way.
	grace = 100 * time.Millisecond
	// courtesy is how long a call whose ctx has ended waits for its place in the
	// queue to be given up before it returns.
	courtesy = 5 * time.Millisecond
	// maxCourtesy is how long it waits while Redis is busy with others that were given up.
	maxCourtesy = 100 * time.Millisecond
	// bunch is for how many waiters of a process permits are taken at once.
	bunch = 64
)

// ask sends requests for what the claim wants until that is granted or given up, or
// until it is to wait with the next: a timer then goes on, or what wakes the claim.
// There is one of it at a time for each key, however many wait here.
func (l *line) ask(c *claim) {
	for l.askOnce(c) {
	}
}

// askOnce sends one request for what the claim wants and deals with its answer.
// It reports whether the next one is to be sent at once.
func (l *line) askOnce(c *claim) (again bool) {
	l.mu.Lock()
	r, ctx, sent, ok := l.prepare(c)
	l.mu.Unlock()
	return ok && l.send(ctx, c, r, sent)
}

// askHere sends the first request of a claim on the goroutine of its caller, which
// would otherwise wait for another goroutine to send it. If there is no answer for
// milliseconds, the caller may have to return: another goroutine then asks again.
func (l *line) askHere(ctx context.Context, c *claim) {
	l.mu.Lock()
	r, values, sent, ok := l.prepare(c)
	l.mu.Unlock()
	if !ok {
		return
	}
	r.Prompt = ctx.Done() != nil
	reply, err := l.keeper.store.Ask(ctx, r)
	if err == ErrNoAnswer && l.askAgain(values, c) {
		return
	}
	if l.answered(c, r, reply, err, sent) {
		l.keeper.call(func() { l.ask(c) })
	}
}

// askAgain has another goroutine ask for what a request got no answer about, unless
// that is known by now. There is always a request under way, so that a release waits.
func (l *line) askAgain(ctx context.Context, c *claim) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.state != live || c.want == 0 {
		return false
	}
	c.redisError("ask", ErrNoAnswer)
	c.entered = true
	r, _, sent, _ := l.prepare(c)
	l.returned(c)
	l.keeper.call(func() {
		if l.send(ctx, c, r, sent) {
			l.ask(c)
		}
	})
	return true
}

// prepare returns the next request of a claim, if it still wants something, and the
// ctx to send it with: that of the caller if only one waits. The line is locked.
func (l *line) prepare(c *claim) (r Request, ctx context.Context, sent time.Time, ok bool) {
	if c.state != live || c.want == 0 {
		c.asker = false
		return Request{}, nil, time.Time{}, false
	}
	if ctx = context.Background(); l.waiters.n == 1 {
		ctx = &l.waiters.head.caller
	}
	sent = time.Now()
	c.asking, c.nudged = true, false
	return l.request(c, sent), ctx, sent, true
}

// send sends a request and deals with its answer, as askOnce.
func (l *line) send(ctx context.Context, c *claim, r Request, sent time.Time) (again bool) {
	reply, err := l.keeper.store.Ask(ctx, r)
	return l.answered(c, r, reply, err, sent)
}

func (l *line) answered(c *claim, r Request, reply Reply, err error, sent time.Time) (again bool) {
	if err == nil {
		l.keeper.took(time.Since(sent))
	}
	return l.conclude(c, r, reply, err, sent)
}

// conclude deals with the answer to a request of the one that asks. It reports
// whether the next is to be sent at once; if not, and there is to be one, it has
// set the timer for it.
func (l *line) conclude(c *claim, r Request, reply Reply, err error, sent time.Time) (again bool) {
	l.mu.Lock()
	var wait time.Duration
	todo := l.answer(c, r, reply, err, sent)
	switch {
	case c.state != live || c.want == 0:
		c.asker = false
	case r.Order != c.order || reply.Gone: // it wants something else by now, or asks in another way
	default:
		wait = l.notGranted(c, r, reply, err, &todo)
	}
	if c.asking = false; l.claim == c {
		l.waiters.catchUp()
	}
	if again = c.asker && (wait <= 0 || c.nudged); c.asker && !again {
		c.askAfter(wait)
	}
	l.mu.Unlock()
	l.later(todo)
	return again
}

// request makes the next request of a claim, which is then under way.
func (l *line) request(c *claim, now time.Time) Request {
	r := c.request(c.want > 0 && !c.try && (c.queue || l.keeper.hears()), now)
	if c.want > 0 && l.name.Kind == Semaphore {
		r.More = max(0, l.waiters.weight(bunch)-c.want)
	}
	if r.Queue {
		l.keeper.expect(c)
	}
	c.inflight++
	return r
}

// returned notes that a request is not under way any more.
func (l *line) returned(c *claim) {
	if c.inflight--; c.inflight == 0 && c.wait != nil {
		close(c.wait)
		c.wait = nil
	}
}

// answer deals with the answer to a request, whatever has become of the claim.
func (l *line) answer(c *claim, r Request, reply Reply, err error, sent time.Time) errand {
	l.returned(c)
	c.redisError("ask", err)
	w := newWindow(sent, r.TTL)
	if c.state != live {
		l.late(c, r, reply, err)
		return errand{}
	}
	hopeless := l.outcome(c, err)
	switch {
	case errors.Is(err, ErrSize):
		if r.Order == c.order && c.want > 0 {
			l.fail(err, func(lease *Lease) bool { return lease.size == c.size && lease.weight >= c.want })
			c.want, c.entered = 0, false
		}
		return l.advance()
	case isPanic(err):
		c.entered = true
		if l.waiters.head != nil { // the others ask for themselves
			l.waiters.head.refuse(err)
		}
		return l.advance()
	case IsPermanent(err):
		c.want = 0
		if todo := l.advance(); !todo.lower {
			return todo
		}
		return errand{} // the next renewal tells what is owed: telling it at once would not end
	case err != nil:
		if r.Want == 0 {
			return errand{} // tried again by those who wait for it
		}
		c.entered = true // or rather, it may have been given it
		if hopeless {
			return l.advance()
		}
		if c.want == 0 && c.owes() {
			return errand{c, true}
		}
		return errand{}
	}
	c.from = "" // given up, or gone
	if reply.Gone {
		if c.lostBy(r, reply) {
			return l.lose(c, Gone)
		}
		return errand{}
	}
	l.acknowledge(c, r, reply, w)
	if reply.Granted && c.want > 0 && r.Order == c.order {
		if w.left(time.Now()) > 0 {
			c.answeredTo(r)
			return l.grant(c, reply.Base, reply.Weight, reply.Given, w, reply.Awaited)
		}
		l.redis = errLate
	}
	if c.want == 0 && c.owes() && r.N == c.n { // else a later one says more
		return errand{c, true}
	}
	return errand{}
}

// acknowledge notes what Redis knows of the claim after it has executed r.
func (l *line) acknowledge(c *claim, r Request, reply Reply, w window) {
	if r.N > c.acked {
		if c.acked, c.known = r.N, r.Keep; reply.Granted {
			c.known, c.entered = reply.Weight, true
		}
		if r.Want == 0 && r.N > c.queued {
			c.entered = false
		}
		c.hear(reply.Awaited, w.start)
	}
	if c.weight > 0 && (l.name.Kind == Mutex && reply.Granted || r.Keep > 0 && r.N > c.began) {
		c.extend(w)
	}
}

// pause is how long a claim that still asks waits before it asks again.
func (l *line) pause(c *claim, r Request, reply Reply, err error) (wait time.Duration) {
	if head := l.waiters.head; head != nil { // those behind it know
		head.tracer.waiting()
	}
	switch {
	case err != nil || reply.Granted: // or granted too late to be of use: it is renewed by asking again
		return c.soon()
	case !r.Queue:
		if c.queue = true; l.keeper.listen(c) {
			return 0
		}
		return patience
	case reply.Foreign || !l.keeper.hears(): // nobody will tell us
		wait = c.soon()
	default:
		c.fast = nil
		wait = l.keeper.poll()
	}
	if reply.Left >= 0 { // a dead owner's hold ends then
		wait = min(wait, reply.Left+time.Millisecond)
	}
	return wait
}

// notGranted handles an answer that does not give the claim what it wants. It fails
// the tries that the answer speaks for, and returns how long the claim waits before it
// asks for the leases that stay. If none stay, the claim has asked enough.
func (l *line) notGranted(c *claim, r Request, reply Reply, err error, todo *errand) (wait time.Duration) {
	no := err == nil && !reply.Granted && r.N == c.n // a later statement may have overtaken r: its answer counts
	head := l.waiters.head
	c.denied = no && head != nil && !head.try && !head.late
	for lease := head; lease != nil && l.waiters.tries > 0; {
		next := lease.next
		switch {
		case !lease.try || isPanic(err): // which its own caller has got
		case err != nil:
			lease.refuse(err)
		case reply.Granted:
			lease.refuse(errLate)
		case c.denied || no && !lease.late && lease.weight >= c.want && lease.size == c.size:
			lease.refuse(ErrLocked)
		}
		lease = next
	}
	if head = l.waiters.head; head == nil {
		c.want, c.asker = 0, false
		*todo = l.advance()
		return 0
	}
	tried := c.try
	if c.try = head.try; l.waiters.tries == 0 && (!tried || l.name.Kind == Mutex) {
		return l.pause(c, r, reply, err)
	}
	if !c.asksFor(head) {
		c.askFor(head)
	}
	return 0
}

// late deals with an answer that nobody waits for any more: the claim ended while
// the request was under way. It may have been executed after what ended it.
func (l *line) late(c *claim, r Request, reply Reply, err error) {
	switch {
	case !c.orphaned || r.Want == 0 || reply.Gone || err == nil && !reply.Granted && !r.Queue:
	case c.state == leaving: // a second release now would steal the answer to the first
		c.again = true
	default:
		go l.keeper.undo(c)
	}
}
