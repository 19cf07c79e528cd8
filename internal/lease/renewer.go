package lease

import (
	"container/heap"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// A renewable is what the renewal timer keeps alive: a claim that is held, or a task.
type renewable interface {
	// checkRenewal ends what has run out, and returns how to renew what lives, if it
	// should be renewed.
	checkRenewal(now time.Time) (r Renewal, renew bool)
	// beginRenewal notes that the renewal is sent now, and reports whether it is still
	// needed. hold is the number of the hold, of those of a claim.
	beginRenewal(now time.Time) (hold int64, renew bool)
	// handleRenewal handles the reply to a renewal that was sent at the time.
	handleRenewal(hold int64, of Renewal, r RenewResult, sent time.Time)
	entry() *timerEntry
}

// A timerEntry is when the renewal timer is to look at a renewable. The mutex of the
// manager guards it.
type timerEntry struct {
	due    time.Time
	slack  time.Duration // by how much it may be early for that
	index  int32         // in the renewHeap, or -1
	queued bool          // a renewal waits to be sent: no other is queued
}

func (a *timerEntry) entry() *timerEntry { return a }

// renewHeap is a heap of renewables, the one that is due first on top.
type renewHeap []renewable

func (h renewHeap) Len() int           { return len(h) }
func (h renewHeap) Less(i, j int) bool { return h[i].entry().due.Before(h[j].entry().due) }
func (h renewHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].entry().index, h[j].entry().index = int32(i), int32(j)
}

func (h *renewHeap) Push(x any) {
	c := x.(renewable)
	c.entry().index = int32(len(*h))
	*h = append(*h, c)
}

func (h *renewHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	if *h = (*h)[:last]; cap(*h) > smallMap && last < cap(*h)/4 {
		*h = append(make(renewHeap, 0, 2*last), *h...) // gives the memory of the others back
	}
	c.entry().index = -1
	return c
}

func (h *renewHeap) remove(c renewable) {
	if i := c.entry().index; i >= 0 {
		heap.Remove(h, int(i))
	}
}

// scheduleRenewal sets when the renewal timer is to look at a held claim again. That is not
// later than a lease of it may have to be ended. The queue is locked.
func (m *Manager) scheduleRenewal(c *claim, now time.Time) {
	next := nextRenewal(c.window, now)
	if !c.nextForcedEnd.IsZero() {
		next = min(next, max(c.nextForcedEnd.Sub(now), 0))
	}
	m.schedule(c, c.window, now, next)
}

// nextRenewal is when the renewal timer looks at a renewable again: when a third is over of what
// Redis has left of its TTL, so that each renewal lasts for a third of the TTL. While
// renewing fails that is ever sooner, but no sooner than after the retry interval.
func nextRenewal(w trustWindow, now time.Time) time.Duration {
	remaining := w.remaining(now)
	return min(remaining, max((remaining+w.margin)/3, w.retryInterval()))
}

// schedule has the renewal timer look at the renewable after next. It may do so sooner, together
// with others: by a twelfth of the TTL, but not before the retry interval is over.
func (m *Manager) schedule(c renewable, w trustWindow, now time.Time, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := c.entry()
	e.due, e.slack = now.Add(next), max(0, min((w.length+w.margin)/12, next-w.retryInterval()))
	if e.index < 0 {
		heap.Push(&m.heap, c)
	} else {
		heap.Fix(&m.heap, int(e.index))
	}
	m.armTimer()
}

// unschedule takes a renewable from the renewHeap.
func (m *Manager) unschedule(c renewable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heap.remove(c)
}

// armTimer sets the timer for the renewable that is due first. One that is set for an
// earlier time is left to fire, and finds nothing: to set a timer anew for each
// hold would wake a thread of the runtime each time. The manager is locked.
func (m *Manager) armTimer() {
	if len(m.heap) == 0 || !m.timerAt.IsZero() && !m.heap[0].entry().due.Before(m.timerAt) {
		return
	}
	m.timerAt = m.heap[0].entry().due
	if m.renewTimer == nil {
		m.renewTimer = time.AfterFunc(time.Until(m.timerAt), m.renewDue)
	} else {
		m.renewTimer.Reset(time.Until(m.timerAt))
	}
}

// renewDue queues renewals of the renewables that are due, and ends those whose
// window has passed. Neither waits for the other: the timer is set again before a
// renewal is sent, so that a connection that is stuck delays nothing. One renewal of each
// is queued at most, and its window counts from the time when it is sent.
func (m *Manager) renewDue() {
	now := time.Now()
	var due []renewable
	var renewals []Renewal
	for _, c := range m.popDue(now) {
		if r, ok := c.checkRenewal(now); ok && m.setQueued(c, true) {
			due, renewals = append(due, c), append(renewals, r)
		}
	}
	if len(renewals) == 0 {
		return
	}
	type sending struct {
		hold int64
		at   time.Time
	}
	sent := make([]sending, len(renewals))
	m.store.Renew(renewals, func(i int) (renew bool) {
		m.setQueued(due[i], false)
		sent[i].at = time.Now()
		sent[i].hold, renew = due[i].beginRenewal(sent[i].at)
		return renew
	}, func(i int, r RenewResult) { due[i].handleRenewal(sent[i].hold, renewals[i], r, sent[i].at) })
}

// setQueued notes whether a renewal is queued, and reports whether that is new.
func (m *Manager) setQueued(c renewable, queued bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := c.entry()
	changed, e.queued = e.queued != queued, queued
	return changed
}

// popDue takes the renewables from the renewHeap that are due, and those that soon will
// be: from then on they are due together.
func (m *Manager) popDue(now time.Time) (due []renewable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.heap) > 0 && !m.heap[0].entry().due.After(now.Add(m.heap[0].entry().slack)) {
		due = append(due, heap.Pop(&m.heap).(renewable))
	}
	m.timerAt = time.Time{} // the timer has fired
	m.armTimer()
	return due
}

// checkRenewal ends a claim whose window has passed, and says how to renew one that
// lives. Of its leases it ends those that may not be renewed, if others keep the
// claim alive past their time.
func (c *claim) checkRenewal(now time.Time) (r Renewal, renew bool) {
	q := c.queue
	q.mu.Lock()
	var todo pendingCall
	switch {
	case c.state != claimActive || c.weight == 0:
	case c.window.remaining(now) <= 0:
		todo = q.loseClaim(c, trace.RenewFailed)
	default:
		if renew = c.markRenewals(now); !c.nextForcedEnd.IsZero() && !c.nextForcedEnd.After(now) {
			c.loseExpired(now)
			todo = q.advance()
			renew = c.state == claimActive && c.weight > 0 && c.markRenewals(now)
		}
		if c.state == claimActive && c.weight > 0 {
			r = Renewal{Name: q.name, Token: c.token, TTL: c.ttl, Confirm: c.confirmed, Contention: (c.notified || c.signals != nil) && !c.renewFailed}
			q.manager.scheduleRenewal(c, now)
		}
	}
	q.mu.Unlock()
	q.runAsync(todo)
	return r, renew
}

// beginRenewal counts the time to the next try from now on.
func (c *claim) beginRenewal(now time.Time) (grantSeq int64, renew bool) {
	c.queue.mu.Lock()
	defer c.queue.mu.Unlock()
	if c.state != claimActive || c.weight == 0 {
		return 0, false
	}
	c.queue.manager.scheduleRenewal(c, now)
	return c.grantSeq, true
}

// handleRenewal handles the reply to a renewal of the hold grantSeq, sent at sentAt.
func (c *claim) handleRenewal(grantSeq int64, of Renewal, r RenewResult, sentAt time.Time) {
	q := c.queue
	q.mu.Lock()
	var todo pendingCall
	switch {
	case c.state != claimActive || c.weight == 0 || c.grantSeq != grantSeq: // released since
	case r.Err != nil: // tried again when next due
		c.renewFailed = true
		c.redisError("renew", r.Err)
	case !r.Held:
		todo = q.loseClaim(c, trace.KeyMissing)
	case c.window.remaining(time.Now()) <= 0: // see extend
		c.maybeQueued = true
		todo = q.loseClaim(c, trace.RenewFailed)
	default:
		eachTrace(func(t *trace.Tracer) { t.Renewed(sentAt) }, c.leases)
		contended := r.Contended && (r.SeveralWait || !c.maybeQueued)
		if c.renewFailed = false; contended || q.name.Kind != Mutex { // that of a Mutex may not have asked
			c.noteContention(contended, sentAt)
		}
		if of.Confirm.Replicas >= c.confirmed.Replicas {
			c.extend(newTrustWindow(sentAt, of.TTL)) // that of the claim may be longer by now
		}
		if c.needsShrink() {
			todo = pendingCall{c, true}
		}
	}
	q.mu.Unlock()
	q.runAsync(todo)
}
