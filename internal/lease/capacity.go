package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// hasCapacity reports whether so much of the claim is free that the lease may fit.
func (c *claim) hasCapacity(l *Lease) bool {
	if c.shared {
		return l.shared || c.used == 0
	}
	return l.weight <= c.weight-c.used
}

// canServe reports whether a lease can have its share of the claim now. The slice
// does not count against the first: a process that is so slow that its slice is over
// before anybody was let in would yield for ever.
func (c *claim) canServe(l *Lease, now time.Time) bool {
	remaining := c.window.Remaining(now)
	if c.idle() { // it was not renewed: its lease must have time for that
		remaining -= c.ttl / 3
	}
	if c.weight == 0 || !c.hasCapacity(l) || c.size != l.size || l.confirm.Replicas > c.confirmed.Replicas || remaining <= 0 {
		return false
	}
	fresh := c.fencesUsed == 0 || c.fencesUsed < FencesPerGrant && (c.uncontended() || !c.slice.exhausted(now, c.fencesUsed))
	switch {
	case c.shared && l.shared:
		return l.ttl <= c.ttl && (fresh || c.used > 0 && !c.contended)
	case c.used > 0: // only of a semaphore can something be left
		return !c.shared && fresh && l.ttl <= c.ttl
	}
	// A Mutex's token states its TTL, so that its claim is for one TTL only.
	return fresh && (l.ttl == c.ttl || l.ttl < c.ttl && c.queue.name.Kind != Mutex) && l.weight <= c.weight
}

// canRequestMore reports whether the claim may ask for more than it holds: not while a
// lease has all of it that there is.
func (c *claim) canRequestMore() bool {
	return c.used == 0 || c.shared || c.queue.name.Kind == Semaphore
}

// mayRequest reports whether a try may ask for more than the claim holds: not while
// leases here have what it wants.
func (c *claim) mayRequest(try *Lease) bool {
	return c.used == 0 || c.canRequestMore() && (try.shared || !c.shared)
}

// inUse is how much of the weight cannot be given up.
func (c *claim) inUse() int64 {
	if c.shared && c.used > 0 {
		return c.weight
	}
	return c.used
}

// assign gives a lease its share: the whole of a hand-over inside the process.
func (c *claim) assign(l *Lease, now time.Time) {
	if l.shared && !c.shared { // a writer's claim goes to a reader, who needs no more
		c.shared, c.weight = true, l.weight
	}
	if c.idle() {
		c.endsIdle(now)
	}
	if c.shared && c.fencesUsed > 0 && c.slice.exhausted(now, c.fencesUsed) {
		c.queue.manager.ensureNotified(c, now)
	}
	l.claim, l.grantedAt, l.renewedAfter = c, monoTimeOf(now), 0
	if l.sink != nil || l.maxHold != 0 { // whether it may be renewed is to be looked at in time
		c.noteForcedEnd(now.Add(c.ttl))
	}
	l.fence = c.fenceBase*FencesPerGrant + min(c.fencesUsed, FencesPerGrant-1) // those that share may come to the end of it
	c.fencesUsed++
	c.used += l.weight
	c.leases.push(l)
	l.grant(now)
}

// dropUnused frees what no lease uses; Redis is still to be told.
func (c *claim) dropUnused() {
	if use := c.inUse(); use == c.weight {
		return
	} else if c.weight = use; use == 0 {
		if c.shared = false; c.linger != nil {
			c.linger.idleSince = time.Time{}
		}
		c.queue.manager.Unschedule(c)
	}
}

// needsShrink reports whether Redis is to be told of less than it knows.
func (c *claim) needsShrink() bool {
	return c.queue.name.Kind != Mutex && (c.serverWeight > c.weight || c.wanted == 0 && c.maybeQueued)
}

// repliedLost reports whether an answer says that what the claim holds is not there.
// What it said before this hold, or that it has given back since, may well be gone.
func (c *claim) repliedLost(r Request, reply Reply) bool {
	return reply.Lost && c.state == claimActive && r.Keep > 0 && c.weight > 0 && r.Seq > c.grantSeq
}

// extend moves the end of the window, never to an earlier time. One that has passed
// stays so, even if nobody has looked yet: another may have been let in since, and
// that Redis has our token again may be the work of a late copy of a request.
func (c *claim) extend(w client.TrustWindow) {
	now := time.Now()
	if remaining := c.window.Remaining(now); remaining > 0 && w.Remaining(now) > remaining {
		c.window = w
		c.queue.manager.scheduleRenewal(c, now)
	}
}

// markRenewals reports whether some lease of the claim may be renewed: it has been
// received, and has not been held for too long. One that may not ends one TTL
// after it last could, even if others keep the claim alive.
func (c *claim) markRenewals(now time.Time) (renew bool) {
	c.nextForcedEnd = time.Time{}
	for l := c.leases.head; l != nil; l = l.next {
		held := l.grantedAt.elapsed(now)
		if l.received() && (l.maxHold == 0 || held < l.maxHold) {
			l.renewedAfter, renew = held, true
			if l.maxHold == 0 {
				continue
			}
		}
		c.noteForcedEnd(now.Add(l.renewedAfter + c.ttl - held))
	}
	return renew
}

// noteForcedEnd notes when a lease may have to be ended.
func (c *claim) noteForcedEnd(at time.Time) {
	if c.nextForcedEnd.IsZero() || at.Before(c.nextForcedEnd) {
		c.nextForcedEnd = at
	}
}

// loseExpired ends the leases that may not be renewed and have had their time.
func (c *claim) loseExpired(now time.Time) {
	for l := c.leases.head; l != nil; {
		next := l.next
		if l.grantedAt.elapsed(now)-l.renewedAfter >= c.ttl {
			l.lose(trace.RenewFailed)
		}
		l = next
	}
}
