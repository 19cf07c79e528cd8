package lease

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

type claimState uint8

const (
	asking  claimState = iota // a goroutine runs line.ask for it
	held                      // the keeper's clock has it
	leaving                   // line.letGo gives it back
	over                      // its line has no claim, or another one
)

// A claim is what this process awaits or holds in Redis on one key: weight
// permits, of which the leases of the claim have taken used. What changes is
// guarded by the mutex of its line, but for the last two fields.
type claim struct {
	line   *line
	token  string
	ttl    time.Duration
	weight int64

	state claimState

	// While asking.
	try      bool            // asks once, and does not queue
	queue    bool            // queues, whether hand-overs can be heard or not
	from     string          // the token that the request gives up for this one
	n        int64           // number of the last queueing request
	sent     [4]request      // the last of them, each at its number modulo 4
	inflight bool            // a request is under way
	orphaned bool            // line.ask must undo it when it returns
	redis    error           // what the last request failed with
	nudge    chan struct{}   // capacity 1: something has changed, ask again or stop asking
	fast     backoff.BackOff // when Redis fails, or an owner that is not ours will not tell
	slow     backoff.BackOff // when we shall be told, in case the message is lost

	// While held.
	trust  window
	since  time.Time // start of the quantum
	base   int64     // of its fences
	issued int64     // fences given so far
	used   int64
	leases list

	// While leaving.
	wait  chan struct{} // closed when the request to let finish first has returned; or nil
	again bool          // a request has returned that may have been executed after the release
	until time.Time     // by then it has run out in Redis by itself
	err   error         // nil, ErrLost, or why it could not be confirmed

	// Guarded by the mutex of the keeper.
	due   time.Time // when the clock is to look at it
	place int       // in the clock's heap, or -1
}

type request struct {
	n  int64
	at time.Time
}

func newClaim(l *line, on *Lease) *claim {
	return &claim{
		line: l, token: l.keeper.newToken(on.ttl), ttl: on.ttl, weight: on.weight, try: on.try,
		place: -1,
	}
}

// mustWait makes what a claim needs to wait: most are granted before they do.
func (c *claim) mustWait() {
	if c.nudge == nil {
		c.nudge = make(chan struct{}, 1)
		c.fast, c.slow = newBackoff(10*time.Millisecond, 0.5), newBackoff(PollBound, 0.1)
	}
}

// newBackoff returns an exponential backoff without an end, whose intervals,
// jitter included, end at the poll bound.
func newBackoff(first time.Duration, jitter float64) backoff.BackOff {
	bound := time.Duration(float64(PollBound) / (1 + jitter))
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(first, bound)), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(jitter), backoff.WithMaxInterval(bound), backoff.WithMaxElapsedTime(0))
}

// request returns the next request to send. Queueing ones are numbered, so that
// a hand-over can say which of them Redis had seen: the window counts from it.
func (c *claim) request(queue bool, now time.Time) Request {
	r := Request{Key: c.line.key, Token: c.token, From: c.from, TTL: c.ttl, Grant: c.grantTTL(), Channel: c.line.keeper.channel}
	if queue {
		c.n++
		c.sent[c.n%int64(len(c.sent))] = request{c.n, now}
		r.N = c.n
	}
	return r
}

// handed returns the window of a hand-over that followed request n. It is empty
// if n is not one of the last few: then its window would have passed.
func (c *claim) handed(n int64) window {
	if r := c.sent[uint64(n)%uint64(len(c.sent))]; n > 0 && r.n == n {
		return newWindow(r.at, c.grantTTL())
	}
	return window{}
}

// grantTTL is what a hand-over gives: long enough for the message and a renewal,
// short enough that a dead waiter does not keep the others out for long.
func (c *claim) grantTTL() time.Duration { return min(c.ttl, 3*PollBound) }

// trustworthy reports whether a hand-over may be believed for what is left of
// its window: not the very end of it, where a hold would be lost as it begins.
func (c *claim) trustworthy(left time.Duration) bool { return left >= c.grantTTL()/3 }

// life is the longest that anything a request makes in Redis can last.
func (c *claim) life() time.Duration { return max(c.ttl, EntryLife) }

// fits reports whether a lease can have its share of the held claim now. The
// quantum does not count against the first: a process that is so slow that it is
// over before anybody was let in would go round for ever.
func (c *claim) fits(l *Lease, now time.Time) bool {
	return c.used+l.weight <= c.weight && c.ttl == l.ttl && c.trust.left(now) > 0 &&
		(c.issued == 0 || c.issued < Block && now.Sub(c.since) < Quantum)
}

// take gives a lease its share: the whole of a hand-over inside the process.
func (c *claim) take(l *Lease, now time.Time) {
	l.claim, l.since = c, now
	l.fence = c.base*Block + c.issued
	c.issued++
	c.used += l.weight
	c.leases.push(l)
	l.deliver()
}

// extend moves the end of the window, never to an earlier time.
func (c *claim) extend(w window) {
	now := time.Now()
	if w.left(now) > c.trust.left(now) {
		c.trust = w
		c.line.keeper.watch(c, now)
	}
}

// renewable reports whether some lease of the claim may be renewed: it has been
// received, and has not been held for too long.
func (c *claim) renewable(now time.Time) bool {
	for l := c.leases.head; l != nil; l = l.next {
		if l.received() && (l.maxHold == 0 || now.Sub(l.since) < l.maxHold) {
			return true
		}
	}
	return false
}

// wake makes the goroutine that asks look again.
func (c *claim) wake() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}
