package client

import (
	"container/heap"
	"sync"
	"time"
)

// A Renewable is kept alive by the renewal timer: a claim that is held, or a task.
type Renewable interface {
	// CheckRenewal ends what has run out, and returns the renewal of what should be renewed.
	CheckRenewal(now time.Time) (r Renewal, renew bool)
	// BeginRenewal notes that the renewal is sent now, and reports whether it is still
	// needed. hold is the number of the hold, of those of a claim.
	BeginRenewal(now time.Time) (hold int64, renew bool)
	// HandleRenewal handles the reply to a renewal that was sent at the time.
	HandleRenewal(hold int64, of Renewal, r RenewResult, sent time.Time)
	Entry() *TimerEntry
}

// A TimerEntry has the time when the renewal timer must check a Renewable, which embeds it. The mutex
// of the renewer guards it.
type TimerEntry struct {
	due    time.Time
	slack  time.Duration // how much sooner it may be checked, together with others
	place  int32         // in the renewHeap, from 1 on; 0 if it is not there
	queued bool          // a renewal waits to be sent: no other is queued
}

// Entry returns the TimerEntry that a Renewable embeds.
func (e *TimerEntry) Entry() *TimerEntry { return e }

// A Renewer has one timer for all that is renewed.
type Renewer struct {
	store Store

	mu      sync.Mutex // the last to be taken
	heap    renewHeap
	timer   *time.Timer // set for the first of the heap
	timerAt time.Time   // when the timer fires, zero if it does not
}

// renewHeap is a heap of renewables, the one that is due first on top.
type renewHeap []Renewable

func (h renewHeap) Len() int           { return len(h) }
func (h renewHeap) Less(i, j int) bool { return h[i].Entry().due.Before(h[j].Entry().due) }
func (h renewHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].Entry().place, h[j].Entry().place = int32(i)+1, int32(j)+1
}

func (h *renewHeap) Push(x any) {
	c := x.(Renewable)
	*h = append(*h, c)
	c.Entry().place = int32(len(*h))
}

func (h *renewHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	if *h = (*h)[:last]; cap(*h) > smallMap && last < cap(*h)/4 {
		*h = append(make(renewHeap, 0, 2*last), *h...) // gives the memory of the others back
	}
	c.Entry().place = 0
	return c
}

func (h *renewHeap) remove(c Renewable) {
	if i := c.Entry().place; i > 0 {
		heap.Remove(h, int(i)-1)
	}
}

// nextRenewal returns the time until the renewal timer must check a Renewable: until a third of what
// Redis has left of its TTL is over. So each renewal lasts for a third of the TTL. While renewing
// fails the intervals become shorter, but not shorter than the retry interval.
func nextRenewal(w TrustWindow, now time.Time) time.Duration {
	remaining := w.Remaining(now)
	return min(remaining, max((remaining+w.margin)/3, w.retryInterval()))
}

// Schedule makes the renewal timer check c again, not later than latest, unless that is zero. It may do
// so sooner, together with others: by a twelfth of the TTL, but not before the retry interval is over.
func (r *Renewer) Schedule(c Renewable, w TrustWindow, now, latest time.Time) {
	next := nextRenewal(w, now)
	if !latest.IsZero() {
		next = min(next, max(latest.Sub(now), 0))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := c.Entry()
	e.due, e.slack = now.Add(next), max(0, min((w.length+w.margin)/12, next-w.retryInterval()))
	if e.place == 0 {
		heap.Push(&r.heap, c)
	} else {
		heap.Fix(&r.heap, int(e.place)-1)
	}
	r.armTimer()
}

// Unschedule makes the renewal timer forget c.
func (r *Renewer) Unschedule(c Renewable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heap.remove(c)
}

// RenewNow makes c due, if it is scheduled.
func (r *Renewer) RenewNow(c Renewable, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := c.Entry(); e.place > 0 {
		e.due = now
		heap.Fix(&r.heap, int(e.place)-1)
		r.armTimer()
	}
}

// Renewing returns the number of scheduled renewables.
func (r *Renewer) Renewing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heap)
}

// armTimer sets the timer for the renewable that is due first. A timer that is set for an earlier
// time stays, and finds nothing when it fires: to reset it for each hold would wake a thread of the
// runtime each time. The renewer is locked.
func (r *Renewer) armTimer() {
	if len(r.heap) == 0 || !r.timerAt.IsZero() && !r.heap[0].Entry().due.Before(r.timerAt) {
		return
	}
	r.timerAt = r.heap[0].Entry().due
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(r.timerAt), r.renewDue)
	} else {
		r.timer.Reset(time.Until(r.timerAt))
	}
}

// renewDue queues the renewals that are due, and ends renewables whose window has passed. Neither
// waits for the other: the timer is set again before a renewal is sent, so that a dead connection
// delays nothing. At most one renewal of each is queued. Its window counts from the time when it is
// sent.
func (r *Renewer) renewDue() {
	now := time.Now()
	var due []Renewable
	var renewals []Renewal
	for _, c := range r.popDue(now) {
		if renewal, ok := c.CheckRenewal(now); ok && r.setQueued(c, true) {
			due, renewals = append(due, c), append(renewals, renewal)
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
	r.store.Renew(renewals, func(i int) (renew bool) {
		r.setQueued(due[i], false)
		sent[i].at = time.Now()
		sent[i].hold, renew = due[i].BeginRenewal(sent[i].at)
		return renew
	}, func(i int, result RenewResult) { due[i].HandleRenewal(sent[i].hold, renewals[i], result, sent[i].at) })
}

// setQueued notes whether a renewal is queued, and reports whether that is new.
func (r *Renewer) setQueued(c Renewable, queued bool) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := c.Entry()
	changed, e.queued = e.queued != queued, queued
	return changed
}

// popDue removes the renewables that are due from the heap, and those that soon will be: from then on
// they are due together.
func (r *Renewer) popDue(now time.Time) (due []Renewable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.heap) > 0 && !r.heap[0].Entry().due.After(now.Add(r.heap[0].Entry().slack)) {
		due = append(due, heap.Pop(&r.heap).(Renewable))
	}
	r.timerAt = time.Time{} // the timer has fired
	r.armTimer()
	return due
}
