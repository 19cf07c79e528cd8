package lease

import (
	"sync"
	"time"
)

// Quantum is how long a claim passes from lease to lease inside a process before
// other processes get their turn, as after sync.Mutex's starvation threshold.
const Quantum = time.Millisecond

// A line is the queue of this process for one key. It exists while somebody here
// holds or awaits the key, or a claim on it is still to be given back.
type line struct {
	keeper *Keeper
	key    string

	mu      sync.Mutex // taken before the keeper's, never after it
	gone    bool       // the keeper has dropped it: look the key up again
	waiters list       // leases that wait, first come first served
	claim   *claim     // at most one at any time
}

// advance takes every step that the state of the line allows. Whatever happens
// ends in it: a lease joins, ends or gives up, Redis answers, a message comes,
// time runs out. It returns the claim that its caller must letGo, if any, once
// the line is unlocked.
func (l *line) advance() (gone *claim) {
	for l.waiters.head != nil {
		c, next := l.claim, l.waiters.head
		if c == nil {
			l.start(newClaim(l, next))
			return nil
		}
		if c.state != held {
			return nil // what it waits for leads back here
		}
		if now := time.Now(); c.fits(next, now) {
			l.waiters.remove(next)
			c.take(next, now)
			continue
		}
		if c.used == 0 { // the quantum is over: the others first, then us
			yielding := newClaim(l, next)
			yielding.from = c.token
			l.end(c)
			l.start(yielding)
		}
		return nil
	}
	switch c := l.claim; {
	case c == nil:
		l.keeper.drop(l)
	case c.state == asking, c.state == held && c.used == 0:
		return l.leave()
	}
	return nil
}

// start makes c the claim of the line, and asks Redis for it.
func (l *line) start(c *claim) {
	l.claim = c
	go l.ask(c)
}

// hold begins the use of a claim that Redis has granted.
func (l *line) hold(c *claim, base int64, w window) (gone *claim) {
	c.state, c.from, c.base, c.trust, c.since = held, "", base, w, time.Now()
	l.keeper.watch(c, c.since)
	return l.advance()
}

// heard is a hand-over's message. It is believed if there is enough left of its
// window, and otherwise makes the claim ask.
func (l *line) heard(c *claim, h Handover) {
	l.mu.Lock()
	var gone *claim
	if c.state == asking {
		if w := c.handed(h.N); c.trustworthy(w.left(time.Now())) {
			gone = l.hold(c, h.Base, w)
		}
		c.wake()
	}
	l.mu.Unlock()
	if gone != nil {
		go l.letGo(gone)
	}
}

// lose ends a held claim that Redis no longer has, or may soon give to another.
func (l *line) lose(c *claim) (gone *claim) {
	inside := false
	for c.leases.head != nil {
		inside = c.leases.head.lose() || inside
	}
	if !inside { // nobody was, so that it can be given back before it runs out
		return l.leave()
	}
	l.end(c)
	return l.advance()
}

// end takes a claim out of use.
func (l *line) end(c *claim) {
	c.state = over
	c.orphaned = c.inflight
	l.keeper.forget(c)
	if l.claim == c {
		l.claim = nil
	}
}

// fail tells all who wait that they cannot succeed.
func (l *line) fail(err error) {
	for l.waiters.head != nil {
		l.waiters.head.refuse(err)
	}
}
