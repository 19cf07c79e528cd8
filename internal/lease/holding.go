package lease

import "time"

// room reports whether so much of the claim is free that the lease may fit.
func (c *claim) room(l *Lease) bool {
	if c.sharing {
		return l.shared || c.used == 0
	}
	return l.weight <= c.weight-c.used
}

// fits reports whether a lease can have its share of the claim now. The quantum
// does not count against the first: a process that is so slow that it is over
// before anybody was let in would go round for ever.
func (c *claim) fits(l *Lease, now time.Time) bool {
	if c.weight == 0 || !c.room(l) || c.size != l.size || c.trust.left(now) <= 0 {
		return false
	}
	fresh := c.issued == 0 || c.issued < Block && !c.turn.over(now, c.issued)
	switch {
	case c.sharing && l.shared:
		return l.ttl <= c.ttl && (fresh || c.used > 0 && !c.awaited)
	case c.used > 0: // only of a semaphore can something be left
		return !c.sharing && fresh && l.ttl <= c.ttl
	}
	// A Mutex's token states its TTL, so that its claim is for one TTL only.
	return fresh && (l.ttl == c.ttl || l.ttl < c.ttl && c.line.name.Kind != Mutex) && l.weight <= c.weight
}

// open reports whether the claim may ask for more than it holds: not while a
// lease has all of it that there is.
func (c *claim) open() bool {
	return c.used == 0 || c.sharing || c.line.name.Kind == Semaphore
}

// mayAsk reports whether a try may ask for more than the claim holds: not while
// leases here have what it wants.
func (c *claim) mayAsk(try *Lease) bool {
	return c.used == 0 || c.open() && (try.shared || !c.sharing)
}

// inUse is how much of the weight cannot be given up.
func (c *claim) inUse() int64 {
	if c.sharing && c.used > 0 {
		return c.weight
	}
	return c.used
}

// take gives a lease its share: the whole of a hand-over inside the process.
func (c *claim) take(l *Lease, now time.Time) {
	if l.shared && !c.sharing { // a writer's claim goes to a reader, who needs no more
		c.sharing, c.weight = true, l.weight
	}
	if c.sharing && c.issued > 0 && c.turn.over(now, c.issued) {
		c.line.keeper.hearken(c, now)
	}
	l.claim, l.since, l.renewed = c, momentOf(now), 0
	if l.mail != nil || l.maxHold != 0 { // whether it may be renewed is to be looked at in time
		c.ends(now.Add(c.ttl))
	}
	l.fence = c.base*Block + min(c.issued, Block-1) // those that share may come to the end of it
	c.issued++
	c.used += l.weight
	c.leases.push(l)
	l.deliver(now)
}

// giveUp frees what no lease uses; Redis is still to be told.
func (c *claim) giveUp() {
	if use := c.inUse(); use == c.weight {
		return
	} else if c.weight = use; use == 0 {
		c.sharing = false
		c.line.keeper.unwatch(c)
	}
}

// owes reports whether Redis is to be told of less than it knows.
func (c *claim) owes() bool {
	return c.line.name.Kind != Mutex && (c.known > c.weight || c.want == 0 && c.entered)
}

// lostBy reports whether an answer says that what the claim holds is not there.
// What it said before this hold, or that it has given back since, may well be gone.
func (c *claim) lostBy(r Request, reply Reply) bool {
	return reply.Gone && c.state == live && r.Keep > 0 && c.weight > 0 && r.N > c.began
}

// hear notes whether others wait, as Redis says to a request that was sent then. A
// message that came since may be about one who has come since.
func (c *claim) hear(awaited bool, sent time.Time) {
	c.awaited = awaited || !c.word.Before(sent)
}

// extend moves the end of the window, never to an earlier time. One that has passed
// stays so, even if nobody has looked yet: another may have been let in since, and
// that Redis has our token again may be the work of a late copy of a request.
func (c *claim) extend(w window) {
	now := time.Now()
	if left := c.trust.left(now); left > 0 && w.left(now) > left {
		c.trust = w
		c.line.keeper.watch(c, now)
	}
}

// renewable reports whether some lease of the claim may be renewed: it has been
// received, and has not been held for too long. One that may not ends one TTL
// after it last could, even if others keep the claim alive.
func (c *claim) renewable(now time.Time) (renew bool) {
	c.ending = time.Time{}
	for l := c.leases.head; l != nil; l = l.next {
		held := l.since.until(now)
		if l.received() && (l.maxHold == 0 || held < l.maxHold) {
			l.renewed, renew = held, true
			if l.maxHold == 0 {
				continue
			}
		}
		c.ends(now.Add(l.renewed + c.ttl - held))
	}
	return renew
}

// ends notes when a lease may have to be ended.
func (c *claim) ends(at time.Time) {
	if c.ending.IsZero() || at.Before(c.ending) {
		c.ending = at
	}
}

// loseExpired ends the leases that may not be renewed and have had their time.
func (c *claim) loseExpired(now time.Time) {
	for l := c.leases.head; l != nil; {
		next := l.next
		if l.since.until(now)-l.renewed >= c.ttl {
			l.lose(Unrenewed)
		}
		l = next
	}
}
