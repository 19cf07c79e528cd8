package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A hold is what Redis has given a claim. Its leases have a share of it each.
type hold struct {
	weight        int64     // in permits, 0 for nothing
	used          int64     // by leases
	shared        bool      // each lease has all of it
	renewFailed   bool      // the last renewal got no reply: the next asks for nothing besides
	confirmed     Confirm   // how replicas have confirmed it
	path          string    // how the claim came to it
	grantSeq      int64     // number of the last request before it
	fenceBase     int64     // of its fences
	fencesUsed    int64     // fences given so far
	nextForcedEnd time.Time // when the first lease may have to be ended alone; zero for never
	window        client.TrustWindow
	slice         timeSlice
	leases        list
}

// hasCapacity reports whether so much is free that the lease may fit.
func (h *hold) hasCapacity(l *Lease) bool {
	if h.shared {
		return l.shared || h.used == 0
	}
	return l.weight <= h.weight-h.used
}

// canServe reports whether a lease can have its share of the claim now. For the first lease of
// a grant it is enough that the window has not passed: a process that is so slow that its slice
// or most of its window is over before that would yield again and again. The others need time
// to be renewed, because a claim is not renewed while it is idle, or while its leases are not
// received or past their MaxHold.
func (c *claim) canServe(l *Lease, now time.Time) bool {
	h := &c.hold
	if h.weight == 0 || !h.hasCapacity(l) || c.want.size != l.size || l.confirm.Replicas > h.confirmed.Replicas {
		return false
	}
	if h.fencesUsed == 0 && h.window.Remaining(now) <= 0 || h.fencesUsed > 0 && !h.window.Usable(now) {
		return false
	}
	fresh := h.fencesUsed == 0 || h.fencesUsed < FencesPerGrant && (c.uncontended() || !h.slice.exhausted(now, h.fencesUsed))
	switch {
	case h.shared && l.shared:
		return l.ttl <= c.ttl && (fresh || h.used > 0 && !c.contention.present)
	case h.used > 0: // only of a semaphore can something be left
		return !h.shared && fresh && l.ttl <= c.ttl
	}
	// A Mutex's token states its TTL, so that its claim is for one TTL only.
	return fresh && (l.ttl == c.ttl || l.ttl < c.ttl && c.queue.name.Kind != Mutex) && l.weight <= h.weight
}

// inUse is how much of the weight cannot be given up.
func (h *hold) inUse() int64 {
	if h.shared && h.used > 0 {
		return h.weight
	}
	return h.used
}

// assign gives a lease its share: the whole of a hand-over inside the process.
func (c *claim) assign(l *Lease, now time.Time) {
	h := &c.hold
	if l.shared && !h.shared { // a writer's claim goes to a reader, who needs no more
		h.shared, h.weight = true, l.weight
	}
	if h.shared && h.fencesUsed > 0 && h.slice.exhausted(now, h.fencesUsed) {
		c.queue.manager.ensureNotified(c, now)
	}
	l.claim, l.grantedAt, l.renewedAfter = c, monoTimeOf(now), 0
	if l.sink != nil || l.maxHold != 0 { // whether it may be renewed is to be looked at in time
		h.noteForcedEnd(now.Add(c.ttl))
	}
	l.fence = h.fenceBase*FencesPerGrant + min(h.fencesUsed, FencesPerGrant-1) // those that share may come to the end of it
	h.fencesUsed++
	h.used += l.weight
	h.leases.push(l)
	l.grant(now)
	if c.idle() {
		c.endsIdle(now)
	}
}

// dropUnused frees what no lease uses; Redis is still to be told.
func (c *claim) dropUnused() {
	if use := c.hold.inUse(); use == c.hold.weight {
		return
	} else if c.hold.weight = use; use == 0 {
		if c.hold.shared = false; c.linger != nil {
			c.linger.idleSince = time.Time{}
		}
		c.queue.manager.Unschedule(c)
	}
}

// needsShrink reports whether Redis is to be told of less than it knows.
func (c *claim) needsShrink() bool {
	return c.queue.name.Kind != Mutex && (c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)
}

// repliedLost reports whether an answer says that what the claim holds is not there.
// What it said before this hold, or that it has given back since, may well be gone.
func (c *claim) repliedLost(r Request, reply Reply) bool {
	return reply.Lost && c.state == claimActive && r.Keep > 0 && c.hold.weight > 0 && r.Seq > c.hold.grantSeq
}

// extend moves the end of the window, never to an earlier time. One that has passed
// stays so, even if nobody has looked yet: another may have been let in since, and
// that Redis has our token again may be the work of a late copy of a request.
func (c *claim) extend(w client.TrustWindow) {
	now := time.Now()
	if remaining := c.hold.window.Remaining(now); remaining > 0 && w.Remaining(now) > remaining {
		c.hold.window = w
		c.queue.manager.scheduleRenewal(c, now)
	}
}

// markRenewals reports whether some lease may be renewed: it has been
// received, and has not been held for too long. One that may not ends one TTL
// after it last could, even if others keep the claim alive.
func (h *hold) markRenewals(now time.Time, ttl time.Duration) (renew bool) {
	h.nextForcedEnd = time.Time{}
	for l := h.leases.head; l != nil; l = l.next {
		held := l.grantedAt.elapsed(now)
		if l.received() && (l.maxHold == 0 || held < l.maxHold) {
			l.renewedAfter, renew = held, true
			if l.maxHold == 0 {
				continue
			}
		}
		h.noteForcedEnd(now.Add(l.renewedAfter + ttl - held))
	}
	return renew
}

// noteForcedEnd notes when a lease may have to be ended.
func (h *hold) noteForcedEnd(at time.Time) {
	if h.nextForcedEnd.IsZero() || at.Before(h.nextForcedEnd) {
		h.nextForcedEnd = at
	}
}

// loseExpired ends the leases that may not be renewed and have had their time.
func (h *hold) loseExpired(now time.Time, ttl time.Duration) {
	for l := h.leases.head; l != nil; {
		next := l.next
		if l.grantedAt.elapsed(now)-l.renewedAfter >= ttl {
			l.lose(trace.RenewFailed)
		}
		l = next
	}
}
