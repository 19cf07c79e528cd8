package lease

import (
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A claim is what this process wants and holds in Redis on one key. The claim of a Mutex wants or
// holds its one permit; that of a semaphore can do both at once. The mutex of its queue guards all
// fields but the last.
type claim struct {
	queue    *keyQueue
	token    string
	ttl      time.Duration
	state    claimState
	notified bool // its token asks for a notice when others wait
	// last is the lease that has ended last, or for which the claim was made. A release carries
	// the values of its ctx. It is fixed when state is not claimActive: see leave.
	last *Lease

	want       want
	requests   requests
	redis      redisState
	hold       hold
	contention contention
	linger     *lingering // nil if it may not linger

	// While it is given back:
	releaseAgain bool          // a request has returned that may have been executed after the release
	proceedNow   chan struct{} // closed to end awaitProceed; nil if nobody is in it

	client.TimerEntry // guarded by the mutex of the client
}

// claimState follows the table in section 7 of PROTOCOL.md.
type claimState uint8

const (
	claimActive    claimState = iota
	claimDraining             // waits for the requests under way, so that its release does not overtake them
	claimReleasing            // keyQueue.finishRelease gives it back
	claimClosed               // its queue has no claim, or another one
)

// redisState is what Redis may have under the token of a claim.
type redisState struct {
	weight      int64  // the most that Redis may have for us
	ackedSeq    int64  // number of the request that has set weight
	maybeQueued bool   // an entry, or a grant that the process does not know of
	replaces    string // Mutex: the held token that the claim replaces, or ""
}

// newClaim returns a claim for the first lease that waits. It may replace a claim that yields.
func newClaim(q *keyQueue, first *Lease, yields bool) *claim {
	c := &claim{queue: q, last: first, linger: q.newLingering(first, yields)}
	mark := ""
	if c.linger != nil {
		mark, c.notified = lingerMark, true
	} else if first.notify() {
		mark, c.notified = noticeMark, true
	}
	if c.notified {
		mark += q.manager.store.NodeTag(q.name.Key)
	}
	c.token = q.manager.NewToken(first.ttl, first.label, mark)
	c.setWant(first)
	if c.notified {
		q.manager.register(c)
		q.manager.subscribe(nil)
	}
	return c
}

// leave ends the active state. If the last lease still waits, its events are those of the next
// claim: only its ctx is kept.
func (c *claim) leave(next claimState) {
	if c.state == claimActive && c.last.state != leaseEnded {
		c.last = &Lease{caller: c.last.caller}
	}
	c.state = next
	c.wake()
}

// nextRequest returns the next request to send.
func (c *claim) nextRequest(queue bool, now time.Time) Request {
	c.redis.maybeQueued = c.redis.maybeQueued || queue
	return Request{
		Name: c.queue.name, Token: c.token, Replaces: c.redis.replaces, TTL: c.ttl, HandoverTTL: c.handoverTTL(), Seq: c.requests.next(queue, now), Enqueue: queue, Channel: c.queue.manager.Channel(),
		Keep: c.hold.weight, Want: c.want.weight, WantSeq: c.want.seq, Size: c.want.size, WantShared: c.want.shared, HeldShared: c.hold.shared,
	}
}

// handoverWindow returns the window of a hand-over after request n. It is empty if n is not one of
// the last few requests: their windows have passed.
func (c *claim) handoverWindow(seq int64) client.TrustWindow {
	if at, ok := c.requests.sentAt(seq); ok {
		return client.NewTrustWindow(at, c.handoverTTL())
	}
	return client.TrustWindow{}
}

// handoverTTL is the TTL that a hand-over gives: long enough for the message and a renewal, and so
// short that a dead waiter does not keep the others out for long.
func (c *claim) handoverTTL() time.Duration { return min(c.ttl, 3*MaxPollInterval) }

// maxLifetime is the longest that anything a request makes in Redis can last.
func (c *claim) maxLifetime() time.Duration { return max(c.ttl, WaiterTTL) }

// A want is what a claim asks Redis for.
type want struct {
	weight       int64             // in permits, 0 for nothing
	seq          int64             // number of the first request for them; 0 for a Mutex
	size         int64             // of the semaphore, as stated by the lease that the claim last asked for
	shared       bool              // they will be shared
	headMustWait bool              // the last reply was no
	alwaysQueue  bool              // queues even if no hand-over can be received
	confirm      Confirm           // of the grant
	confirming   *unconfirmedGrant // what Redis has granted, and no replica has confirmed yet
	tryUntil     monoTime          // a try waits until then for a claim that may linger; 0 if it has met none
}

// setWant makes the claim want what a lease needs.
func (c *claim) setWant(l *Lease) {
	w := want{weight: l.weight, size: l.size, shared: l.shared, confirm: l.confirm}
	if c.hold.weight > 0 && c.want.confirm.Replicas >= w.confirm.Replicas {
		w.confirm = c.want.confirm
	}
	if c.queue.name.Kind != Mutex {
		w.seq = c.requests.seq + 1
	}
	if c.hold.weight == 0 || l.ttl > c.ttl { // never less for the leases that hold already
		c.ttl = l.ttl
	}
	c.want = w
}

// asks reports whether the claim wants something that Redis has not given it yet.
func (c *claim) asks() bool {
	return c.state == claimActive && c.want.weight > 0 && c.want.confirming == nil
}

// isFor reports whether the claim wants what the lease needs. It does not if the lease for which it
// asked has given up: that may have wanted more than Redis has, and this one could fit.
func (w *want) isFor(l *Lease) bool {
	return w.weight == l.weight && w.shared == l.shared && w.size == l.size
}

// unconfirmed returns why a grant to the claim is being given back, nil if none is.
func (w *want) unconfirmed() error {
	if w.confirming == nil {
		return nil
	}
	return w.confirming.err
}

// canRequestMore reports whether the claim may ask for more than it holds: not while a lease has all
// that there is.
func (c *claim) canRequestMore() bool {
	return c.hold.used == 0 || c.hold.shared || c.queue.name.Kind == Semaphore
}

// mayRequest reports whether a try may ask for more than the claim holds: not while
// leases here have what it wants.
func (c *claim) mayRequest(try *Lease) bool {
	return c.hold.used == 0 || c.canRequestMore() && (try.shared || !c.hold.shared)
}

// A hold is what Redis has granted to a claim. Each of its leases has a share.
type hold struct {
	weight        int64     // in permits, 0 for nothing
	used          int64     // by leases
	shared        bool      // each lease has all of it
	renewFailed   bool      // the last renewal got no reply: the next only renews
	confirmed     Confirm   // how replicas have confirmed it
	path          string    // how the claim came to it
	grantSeq      int64     // number of the last request before it
	fenceBase     int64     // its fences count from fenceBase*FencesPerGrant
	fencesUsed    int64     // fences given so far
	nextForcedEnd time.Time // when the first lease may have to be ended alone; zero for never
	window        client.TrustWindow
	slice         timeSlice
	leases        list
	valueMissing  func() // called if a renewal finds no value beside the Mutex; nil if its lease needs none
}

// hasCapacity reports whether enough is free for the lease.
func (h *hold) hasCapacity(l *Lease) bool {
	if h.shared {
		return l.shared || h.used == 0
	}
	return l.weight <= h.weight-h.used
}

// canServe reports whether a lease can have its share of the claim now. The first lease of a grant
// needs only an open window. Otherwise a slow process, whose slice or most of whose window is over by
// then, would yield again and again. The other leases need time to be renewed, because a claim is not
// renewed while it is idle, or while its leases are not received or past their MaxHold.
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
	case h.used > 0: // only a semaphore can have permits left
		return !h.shared && fresh && l.ttl <= c.ttl
	}
	// A Mutex's token states its TTL, so that its claim is for one TTL only.
	return fresh && (l.ttl == c.ttl || l.ttl < c.ttl && c.queue.name.Kind != Mutex) && l.weight <= h.weight
}

// inUse returns the part of the weight that leases use.
func (h *hold) inUse() int64 {
	if h.shared && h.used > 0 {
		return h.weight
	}
	return h.used
}

// assign gives a lease its share. Inside the process, a hand-over is no more than that.
func (c *claim) assign(l *Lease, now time.Time) {
	h := &c.hold
	if l.shared && !h.shared { // a writer's claim goes to a reader, which needs no more
		h.shared, h.weight = true, l.weight
	}
	if h.shared && h.fencesUsed > 0 && h.slice.exhausted(now, h.fencesUsed) {
		c.queue.manager.ensureNotified(c, now)
	}
	l.claim, l.grantedAt, l.renewedAfter = c, monoTimeOf(now), 0
	if l.sink != nil || l.maxHold != 0 { // it must be checked in time whether the lease may be renewed
		h.noteForcedEnd(now.Add(c.ttl))
	}
	l.fence = h.fenceBase*FencesPerGrant + min(h.fencesUsed, FencesPerGrant-1) // readers that share a grant may use up its fences
	h.fencesUsed++
	h.used += l.weight
	h.leases.push(l)
	l.grant(now)
	if c.idle() {
		c.endsIdle(now)
	}
}

// dropUnused gives up what no lease uses. Redis does not know that yet.
func (c *claim) dropUnused() {
	use := c.hold.inUse()
	if use == c.hold.weight {
		return
	}
	c.hold.weight = use
	if use == 0 {
		c.hold.shared = false
		if c.linger != nil {
			c.linger.idleSince = time.Time{}
		}
		c.queue.manager.Unschedule(c)
	}
}

// needsShrink reports whether Redis has more for the claim than the claim holds.
func (c *claim) needsShrink() bool {
	return c.queue.name.Kind != Mutex && (c.redis.weight > c.hold.weight || c.want.weight == 0 && c.redis.maybeQueued)
}

// repliedLost reports whether a reply means that the hold of the claim is lost. A reply to a request
// from before this hold is about an earlier one, which may well be gone.
func (c *claim) repliedLost(r Request, reply Reply) bool {
	return reply.Lost && c.state == claimActive && r.Keep > 0 && c.hold.weight > 0 && r.Seq > c.hold.grantSeq
}

// extend moves the end of the window, never to an earlier time. A window that has passed stays so,
// even if nobody has noticed yet: another process may have held the lock since. A late copy of a
// request may have given Redis our token again.
func (c *claim) extend(w client.TrustWindow) {
	now := time.Now()
	if remaining := c.hold.window.Remaining(now); remaining > 0 && w.Remaining(now) > remaining {
		c.hold.window = w
		c.queue.manager.scheduleRenewal(c, now)
	}
}

// scheduleRenewal sets when the renewal timer must check a held claim again: at the latest when one
// of its leases may have to end. The queue is locked.
func (m *Manager) scheduleRenewal(c *claim, now time.Time) {
	m.Schedule(c, c.hold.window, now, c.hold.nextForcedEnd)
}

// markRenewals reports whether some lease may be renewed: it has been received, and has not been held
// for too long. A lease that may not be renewed ends one TTL after it last could be, even if others
// keep the claim alive.
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

// noteForcedEnd notes when a lease may have to be ended alone.
func (h *hold) noteForcedEnd(at time.Time) {
	if h.nextForcedEnd.IsZero() || at.Before(h.nextForcedEnd) {
		h.nextForcedEnd = at
	}
}

// loseExpired ends the leases that may not be renewed and whose time is over.
func (h *hold) loseExpired(now time.Time, ttl time.Duration) {
	for l := h.leases.head; l != nil; {
		next := l.next
		if l.grantedAt.elapsed(now)-l.renewedAfter >= ttl {
			l.lose(trace.RenewFailed)
		}
		l = next
	}
}
