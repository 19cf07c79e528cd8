package lease

import "sync/atomic"

// atHand is how many goroutines of a crew may wait for work at a time.
const atHand = 4

// A crew are the goroutines that call Redis for a keeper that hears hand-overs: while there is
// a subscription, others want the same keys, and there is much to call for. A call
// goes deep into the client, and a new goroutine's stack would have to grow for it several times.
type crew struct {
	work chan func()
	over <-chan struct{} // closed when it is to go home
	idle atomic.Int32
}

func newCrew(over <-chan struct{}) *crew { return &crew{work: make(chan func()), over: over} }

// call has a member of the crew call f, a new one if none is at hand.
func (c *crew) call(f func()) {
	select {
	case c.work <- f:
	default:
		go c.member(f)
	}
}

func (c *crew) member(f func()) {
	for f != nil {
		f()
		f = c.next()
	}
}

// next waits for work, and returns nil if a member is to go.
func (c *crew) next() func() {
	defer c.idle.Add(-1)
	if c.idle.Add(1) > atHand {
		return nil
	}
	select {
	case f := <-c.work:
		return f
	case <-c.over:
		return nil
	}
}

// call calls f in another goroutine: it may take as long as Redis likes.
func (k *Keeper) call(f func()) {
	if crew := k.crew.Load(); crew != nil {
		crew.call(f)
	} else {
		go f()
	}
}
