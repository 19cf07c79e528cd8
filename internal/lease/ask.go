package lease

import (
	"context"
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
)

// ask is the goroutine of a claim from its first request until it is granted or
// given up. There is one at a time for each key, however many wait here.
func (l *line) ask(c *claim) {
	wait, listening := l.askOnce(c)
	l.askAgain(c, wait, listening)
}

// askHere sends the first request of a claim from the goroutine that wants it,
// if that one has no ctx to heed: for a lock that is free, starting another
// goroutine and waking this one again is a good part of the time.
func (l *line) askHere(c *claim) {
	if wait, listening := l.askOnce(c); wait >= 0 {
		go l.askAgain(c, wait, listening)
	}
}

func (l *line) askAgain(c *claim, wait time.Duration, listening <-chan struct{}) {
	for wait >= 0 {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.nudge:
		case <-listening:
		}
		timer.Stop()
		wait, listening = l.askOnce(c)
	}
}

// askOnce sends one request and deals with its answer. It returns how long to
// wait before the next one, or less than 0 if there is to be none; listening,
// if not nil, ends the wait when it is closed.
func (l *line) askOnce(c *claim) (wait time.Duration, listening <-chan struct{}) {
	l.mu.Lock()
	if c.state != asking {
		l.mu.Unlock()
		return -1, nil
	}
	now := time.Now()
	r := c.request(!c.try && (c.queue || l.keeper.hears()), now)
	if r.N == 1 {
		c.mustWait() // a nudge may come from now on
		l.keeper.expect(c)
	}
	c.inflight = true
	l.mu.Unlock()

	reply, err := l.keeper.store.Ask(context.Background(), r)

	l.mu.Lock()
	c.inflight = false
	if c.wait != nil {
		close(c.wait)
	}
	if c.state != asking {
		l.late(c, r, reply, err, now)
		return -1, nil
	}
	wait, listening, gone := l.answer(c, r, reply, err, now)
	l.mu.Unlock()
	if gone != nil {
		go l.letGo(gone)
	}
	return wait, listening
}

// answer deals with the answer to a request of a claim that still asks.
func (l *line) answer(c *claim, r Request, reply Reply, err error, sent time.Time) (wait time.Duration, listening <-chan struct{}, gone *claim) {
	c.redis = err
	if err == nil {
		c.from = "" // given up, or gone
	}
	switch w := newWindow(sent, c.ttl); {
	case reply.Gone:
		return 0, nil, nil
	case reply.Granted && w.left(time.Now()) > 0:
		return -1, nil, l.hold(c, reply.Base, w)
	case IsPermanent(err):
		l.fail(err)
		return -1, nil, l.advance()
	case c.try && !reply.Granted:
		if gone, done := l.refuse(c, err); done {
			return -1, nil, gone
		}
	}
	c.mustWait()
	switch {
	case err != nil || reply.Granted: // or granted too late to be of use: it is renewed by asking again
		return c.fast.NextBackOff(), nil, nil
	case r.N == 0:
		c.queue = true
		return patience, l.keeper.listen(), nil
	case reply.Foreign || !l.keeper.hears(): // nobody will tell us
		wait = c.fast.NextBackOff()
	default:
		c.fast.Reset()
		wait = c.slow.NextBackOff()
	}
	if reply.Left >= 0 { // a dead owner's hold ends then
		wait = min(wait, reply.Left+time.Millisecond)
	}
	return wait, nil, nil
}

// refuse ends a try that found the key taken, or Redis away. Leases that have
// joined meanwhile go on with the claim; if there are none, it is done.
func (l *line) refuse(c *claim, err error) (gone *claim, done bool) {
	c.try = false
	if head := l.waiters.head; head != nil && head.try {
		if err == nil {
			head.refuse(ErrLocked)
		} else {
			head.refuse(err)
		}
	}
	if l.waiters.head != nil {
		return nil, false
	}
	if err == nil {
		l.end(c) // left nothing behind
	}
	return l.advance(), true
}

// late deals with an answer that nobody waits for any more: the claim was
// granted by a message, or given up, while the request was under way. It
// unlocks the line.
func (l *line) late(c *claim, r Request, reply Reply, err error, sent time.Time) {
	if c.state == held && reply.Granted {
		c.extend(newWindow(sent, c.ttl))
	}
	// The request may have been executed after what ended the claim.
	undo := c.orphaned && !reply.Gone && (err != nil || reply.Granted || r.N > 0)
	if undo && c.state == leaving { // a second release now would steal the answer to the first
		c.again, undo = true, false
	}
	l.mu.Unlock()
	if undo {
		l.keeper.undo(c)
	}
}

// leave turns the claim of the line into one that is being given back.
func (l *line) leave() *claim {
	c := l.claim
	now := time.Now()
	if c.state == held {
		c.until = now.Add(c.trust.left(now))
	} else {
		c.until = now.Add(c.life())
		if c.inflight {
			c.wait = make(chan struct{})
		}
		c.wake()
	}
	c.state = leaving
	l.keeper.unwatch(c)
	return c
}

// letGo gives a leaving claim back in Redis, and returns when that is confirmed
// or no longer matters because the claim has run out by itself.
func (l *line) letGo(c *claim) {
	if c.wait != nil { // else the release could overtake the request that it undoes
		timer := time.NewTimer(grace)
		select {
		case <-c.wait:
		case <-timer.C:
		}
		timer.Stop()
	}
	l.mu.Lock()
	c.orphaned = c.inflight
	from := c.from
	l.mu.Unlock()

	if from != "" {
		l.keeper.giveBack(l.key, from, c.until)
	}
	c.err = l.keeper.giveBack(l.key, c.token, c.until)

	l.mu.Lock()
	if c.again {
		go l.keeper.undo(c)
	}
	l.end(c)
	gone := l.advance()
	l.mu.Unlock()
	if gone != nil {
		go l.letGo(gone)
	}
}
