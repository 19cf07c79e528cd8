package lease

import (
	"container/heap"
	"time"
)

// A charge is what the clock keeps alive: a claim that is held, or a task.
type charge interface {
	// look ends what has run out, and says how to renew what lives, if it is to
	// be. hold says which of the holds of a claim that is.
	look(now time.Time) (r Renewal, hold int64, renew bool)
	// renewed is the answer to that, which was sent at the time.
	renewed(hold int64, ttl time.Duration, r Renewed, sent time.Time)
	when() *appointment
}

// An appointment is when the clock is to look at a charge. The mutex of the keeper
// guards it.
type appointment struct {
	due   time.Time
	slack time.Duration // by how much it may be early for that
	place int           // in the clock's heap, or -1
}

func (a *appointment) when() *appointment { return a }

// clock is a heap of charges, the one that is due first on top.
type clock []charge

func (h clock) Len() int           { return len(h) }
func (h clock) Less(i, j int) bool { return h[i].when().due.Before(h[j].when().due) }
func (h clock) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].when().place, h[j].when().place = i, j
}

func (h *clock) Push(x any) {
	c := x.(charge)
	c.when().place = len(*h)
	*h = append(*h, c)
}

func (h *clock) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	if *h = (*h)[:last]; cap(*h) > smallMap && last < cap(*h)/4 {
		*h = append(make(clock, 0, 2*last), *h...) // gives the memory of the others back
	}
	c.when().place = -1
	return c
}

func (h *clock) remove(c charge) {
	if at := c.when().place; at >= 0 {
		heap.Remove(h, at)
	}
}

// arm sets the timer for the charge that is due first. One that is set for an
// earlier time is left to fire, and finds nothing: to set a timer anew for each
// hold would wake a thread of the runtime each time. The keeper is locked.
func (k *Keeper) arm() {
	if len(k.clock) == 0 || !k.armed.IsZero() && !k.clock[0].when().due.Before(k.armed) {
		return
	}
	k.armed = k.clock[0].when().due
	if k.timer == nil {
		k.timer = time.AfterFunc(time.Until(k.armed), k.tick)
	} else {
		k.timer.Reset(time.Until(k.armed))
	}
}

// tick renews the charges that are due, together, and ends those whose
// window has passed. Neither waits for the other: the next tick is set before
// the renewal is sent, so that a connection that is stuck delays nothing.
func (k *Keeper) tick() {
	now := time.Now()
	var charges []charge
	var holds []int64
	var renewals []Renewal
	for _, c := range k.dueBy(now) {
		if r, hold, ok := c.look(now); ok {
			charges, holds, renewals = append(charges, c), append(holds, hold), append(renewals, r)
		}
	}
	if len(renewals) == 0 {
		return
	}
	sent := time.Now()
	k.store.Renew(renewals, func(i int, r Renewed) { charges[i].renewed(holds[i], renewals[i].TTL, r, sent) })
}

// dueBy takes the charges from the clock that are due, and those that soon will
// be: from then on they are due together.
func (k *Keeper) dueBy(now time.Time) (due []charge) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.clock) > 0 && !k.clock[0].when().due.After(now.Add(k.clock[0].when().slack)) {
		due = append(due, heap.Pop(&k.clock).(charge))
	}
	k.armed = time.Time{} // the timer has fired
	k.arm()
	return due
}

// look ends a claim whose window has passed, and says how to renew one that
// lives. Of its leases it ends those that may not be renewed, if others keep the
// claim alive past their time.
func (c *claim) look(now time.Time) (r Renewal, began int64, renew bool) {
	l := c.line
	l.mu.Lock()
	var todo errand
	switch {
	case c.state != live || c.weight == 0:
	case c.trust.left(now) <= 0:
		todo = l.lose(c, Unrenewed)
	default:
		if renew = c.renewable(now); !c.ending.IsZero() && !c.ending.After(now) {
			c.loseExpired(now)
			todo = l.advance()
			renew = c.state == live && c.weight > 0 && c.renewable(now)
		}
		if c.state == live && c.weight > 0 {
			r, began = Renewal{l.name, c.token, c.ttl}, c.began
			l.keeper.watch(c, now)
		}
	}
	l.mu.Unlock()
	l.later(todo)
	return r, began, renew
}

// renewed is the answer to a renewal, for ttl, of the hold that had began then.
func (c *claim) renewed(began int64, ttl time.Duration, r Renewed, sent time.Time) {
	l := c.line
	l.mu.Lock()
	var todo errand
	switch {
	case c.state != live || c.weight == 0 || c.began != began: // released since
	case r.Err != nil: // tried again when next due
		c.redisError("renew", r.Err)
	case !r.Kept:
		todo = l.lose(c, Gone)
	case c.trust.left(time.Now()) <= 0: // see extend
		c.entered = true
		todo = l.lose(c, Unrenewed)
	default:
		eachTrace(func(t *tracer) { t.renewed(sent) }, c.leases)
		c.hear(r.Awaited, sent)
		c.extend(newWindow(sent, ttl)) // that of the claim may be longer by now
		if c.owes() {
			todo = errand{c, true}
		}
	}
	l.mu.Unlock()
	l.later(todo)
}
