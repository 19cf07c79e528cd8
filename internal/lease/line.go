package lease

import (
	"errors"
	"sync"
	"time"
)

// Quantum is for how long at least a claim passes from lease to lease inside a
// process before other processes get their turn, as after sync.Mutex's starvation
// threshold. See Keeper.turn.
const Quantum = time.Millisecond

// A line is the queue of this process for one key. It exists while somebody here
// holds or awaits the key, or a claim on it is still to be given back.
type line struct {
	keeper *Keeper
	name   Name

	mu      sync.Mutex // taken before the keeper's, never after it
	gone    bool       // the keeper has dropped it: look the key up again
	waiters list       // leases that wait, first come first served
	claim   *claim     // at most one at any time
	redis   error      // what the last request failed with
	failing streak     // of requests
	losses  int        // of leases that were granted
}

// errand is what is to be done in Redis after a step, once the line is unlocked:
// nothing, to letGo of the claim, or to tell that it holds less.
type errand struct {
	claim *claim
	lower bool
}

// do runs an errand.
func (l *line) do(e errand) error {
	switch {
	case e.claim == nil:
		return nil
	case e.lower:
		return l.lower(e.claim)
	}
	l.letGo(e.claim)
	return e.claim.err
}

// later runs an errand for which nobody waits.
func (l *line) later(e errand) {
	if e.claim != nil {
		l.keeper.call(func() { _ = l.do(e) })
	}
}

// advance takes every step that the state of the line allows. Whatever happens
// ends in it: a lease joins, ends or gives up, Redis answers, a message comes,
// time runs out.
func (l *line) advance() errand { return l.advanceAt(time.Time{}) }

// advanceAt is advance at the time now, zero if nobody has looked at the clock yet: in
// a hand-over inside the process, that would be a good part of what it takes.
func (l *line) advanceAt(now time.Time) errand {
	for l.waiters.head != nil {
		c, next := l.claim, l.waiters.head
		if c == nil {
			l.start(newClaim(l, next))
			return errand{}
		}
		if c.state != live {
			return errand{} // what it waits for leads back here
		}
		if c.room(next) {
			if now.IsZero() {
				now = time.Now()
			}
			if c.fits(next, now) {
				l.waiters.remove(next)
				c.take(next, now)
				continue
			}
		}
		if next.try && !c.mayAsk(next) {
			next.refuse(ErrLocked)
			continue
		}
		if c.want == 0 && c.open() || c.want > 0 && !c.asksFor(next) {
			l.askMore(c, next)
			return errand{}
		}
		if c.want > 0 {
			c.try = next.try
		} else {
			l.refuseTries(ErrLocked) // the next in line waits, and they do not
		}
		break // its answer, or the end of a lease, leads back here
	}
	c := l.claim
	switch {
	case c == nil:
		l.keeper.drop(l)
	case c.state != live:
	case l.waiters.head == nil && c.used == 0:
		if c.want > 0 || c.known > 0 || c.entered {
			return errand{claim: l.leave()}
		}
		l.end(c) // nothing of it is in Redis
		l.keeper.drop(l)
	default:
		if l.waiters.head == nil && c.want > 0 { // who wanted it has gone
			c.want = 0
			c.wake()
		}
		if c.giveUp(); !c.owes() {
			break
		}
		if c.want == 0 {
			return errand{c, true}
		}
		c.wake() // its next request says so, and may bring new permits before
	}
	return errand{}
}

// askMore makes a claim that holds ask for the next in line. What it does not use
// is given up for that: the others first, then us.
func (l *line) askMore(c *claim, next *Lease) {
	if l.name.Kind == Mutex { // whose owner is known by the token alone: a new one for each turn
		yielding := newClaim(l, next)
		yielding.from = c.token
		l.end(c)
		l.start(yielding)
		return
	}
	c.giveUp()
	c.askFor(next)
	if c.asker {
		c.wake()
		return
	}
	l.start(c)
}

// start makes c the claim of the line, and asks Redis for what it wants.
func (l *line) start(c *claim) {
	l.claim, c.asker = c, true
	l.keeper.call(func() { l.ask(c) })
}

// grant begins the use of what Redis has given the claim.
func (l *line) grant(c *claim, base, weight, given int64, w window, awaited bool) errand {
	now := time.Now()
	if weight < c.weight+given || c.weight > 0 && c.trust.left(now) <= 0 {
		c.entered = true
		return l.lose(c, Gone) // what it held is not there, and what is there is no use
	}
	if c.known = weight; c.weight == 0 {
		c.trust, c.began = w, c.n
	} else if w.left(now) > c.trust.left(now) {
		c.trust = w
	}
	c.weight += given
	c.acked = c.n // replies to what is under way may be older than this
	c.want, c.entered, c.from, c.try = 0, false, "", false
	c.sharing = c.shared
	c.hear(awaited, w.start)
	c.base, c.issued, c.turn = base, 0, l.keeper.turn(c.ttl, l.waiters.n, now)
	l.keeper.watch(c, now)
	return l.advanceAt(now)
}

// heard is a hand-over's message. It is believed if there is enough left of its
// window, and otherwise makes the claim ask. Or it is word that others wait.
func (l *line) heard(c *claim, h Handover) {
	l.mu.Lock()
	var todo errand
	switch {
	case h.N == 0:
		c.awaited, c.word = true, time.Now()
		c.wake()
	case c.state == live && c.want > 0 && h.Order == c.order:
		if w := c.handed(h.N); c.trustworthy(w.left(time.Now())) {
			c.how = ByMessage
			todo = l.grant(c, h.Base, h.Weight, c.want, w, h.Awaited)
		}
		c.wake()
	}
	l.mu.Unlock()
	l.later(todo)
}

// lose ends a claim that Redis no longer has, or may soon give to another.
func (l *line) lose(c *claim, why Cause) errand {
	inside := false
	for c.leases.head != nil {
		inside = c.leases.head.lose(why) || inside
	}
	if !inside { // nobody was, so that it can be given back before it runs out
		return errand{claim: l.leave()}
	}
	entered := c.entered
	if l.end(c); entered {
		go l.keeper.undo(c)
	}
	return l.advance()
}

// end takes a claim out of use.
func (l *line) end(c *claim) {
	c.state = over
	c.orphaned = c.inflight > 0
	c.wake()
	l.keeper.forget(c)
	if l.claim == c {
		l.claim = nil
	}
}

// refuseTries ends all tries in the line.
func (l *line) refuseTries(err error) {
	for lease := l.waiters.head; lease != nil && l.waiters.tries > 0; {
		next := lease.next
		if lease.try {
			lease.refuse(err)
		}
		lease = next
	}
}

// outcome notes what a request has come to. It reports whether that is an error which is
// final for those who wait, or for some of them, whose wait it has then ended.
func (l *line) outcome(c *claim, err error) (final bool) {
	lasts := l.failing.exceeds(c.ttl, err)
	switch l.redis = err; {
	case errors.Is(err, ErrSize): // it is an answer, and to one of those who wait only
		l.redis = nil
	case IsPermanent(err):
		l.fail(err, all)
		return true
	case lasts:
		l.fail(Permanent(err), (*Lease).endless)
		return true
	}
	return false
}

// fail ends the wait of those that the error is for.
func (l *line) fail(err error, isFor func(*Lease) bool) {
	for lease := l.waiters.head; lease != nil; {
		next := lease.next
		if isFor(lease) {
			lease.refuse(err)
		}
		lease = next
	}
}

func all(*Lease) bool { return true }
