package lease

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

type claimState uint8

const (
	live    claimState = iota
	leaving            // line.letGo gives it back
	over               // its line has no claim, or another one
)

// A claim is what this process awaits and holds in Redis on one key: weight
// permits, of which the leases of the claim have used so many, and want more that
// it asks for. A Mutex has one permit, so that its claim asks or holds; that of a
// semaphore can do both. What changes is guarded by the mutex of its line, but
// for the last fields.
type claim struct {
	line  *line
	token string
	ttl   time.Duration
	size  int64 // of the semaphore, as its leases state it
	state claimState
	how   How     // it came to what it holds
	last  *tracer // of the last lease that has ended; fixed when state is not live
	// caller has the values of the ctx of the lease that the claim was made for, or
	// of the last one that has ended. A release carries them.
	caller *caller

	// Asking, while want is not 0.
	want     int64
	order    int64 // number of the first request for them; 0 for a Mutex
	shared   bool  // they are to be shared
	try      bool  // asks once, and does not queue
	denied   bool  // the answer to its last request was no
	queue    bool  // queues, whether hand-overs can be heard or not
	asker    bool  // line.ask goes on: in a goroutine, or when the timer fires
	asking   bool  // a request of it is under way
	nudged   bool  // and is to be followed by another at once
	timer    *time.Timer
	entered  bool // Redis may have an entry, or a grant that we have not heard of
	from     string
	n        int64           // number of the last request
	sent     [4]request      // the last queueing ones, each at its number modulo 4
	queued   int64           // number of the last of them
	inflight int             // requests that are under way
	orphaned bool            // they must be undone when they return
	fast     backoff.BackOff // nil unless Redis fails, or an owner that is not ours will not tell

	// Holding, while weight is not 0.
	weight  int64
	known   int64     // what Redis may think we hold: never less than it does
	acked   int64     // number of the request that known is by
	sharing bool      // each lease has all of it
	awaited bool      // and others wait, so that no lease may join
	word    time.Time // when a message last said so
	trust   window
	began   int64 // number of the last request before the hold
	turn    turn
	base    int64 // of its fences
	issued  int64 // fences given so far
	used    int64
	leases  list
	ending  time.Time // when the first of them may have to be ended alone; zero for never

	// While leaving.
	wait   chan struct{} // closed when the requests to let finish first have returned, or to end a pause; or nil
	pauses bool          // between two attempts
	again  bool          // a request has returned that may have been executed after the release
	until  time.Time     // by then it has run out in Redis by itself
	err    error         // nil, ErrLost, or why it could not be confirmed

	// Guarded by the mutex of the keeper.
	expected bool // hand-overs to it are known here
	appointment
}

type request struct {
	n  int64
	at time.Time
}

func newClaim(l *line, on *Lease) *claim {
	c := &claim{line: l, token: l.keeper.newToken(on.ttl, on.label), caller: &on.caller, appointment: appointment{place: -1}}
	c.askFor(on)
	return c
}

// askFor makes the claim want what a lease needs.
func (c *claim) askFor(l *Lease) {
	c.want, c.shared, c.size, c.try, c.queue = l.weight, l.shared, l.size, l.try, false
	c.denied = false
	if c.line.name.Kind != Mutex {
		c.order = c.n + 1
	}
	if c.weight == 0 || l.ttl > c.ttl { // never less for those who hold already
		c.ttl = l.ttl
	}
}

// asksFor reports whether what the claim wants is what the lease needs. It is not
// if that which it was for has given up: something larger may be out of reach
// while this one would fit.
func (c *claim) asksFor(l *Lease) bool {
	return c.want == l.weight && c.shared == l.shared && c.size == l.size
}

// soon is after how long to ask again when nobody will tell us.
func (c *claim) soon() time.Duration {
	if c.fast == nil {
		c.fast = newBackoff(10*time.Millisecond, 0.5)
	}
	return c.fast.NextBackOff()
}

// newBackoff returns an exponential backoff without an end, whose intervals,
// jitter included, end at the poll bound.
func newBackoff(first time.Duration, jitter float64) backoff.BackOff {
	bound := time.Duration(float64(PollBound) / (1 + jitter))
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(first, bound)), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(jitter), backoff.WithMaxInterval(bound), backoff.WithMaxElapsedTime(0))
}

// request returns the next request to send. They are numbered, so that Redis
// knows one that has been overtaken, and so that a hand-over can say which of them
// Redis had seen: the window counts from it.
func (c *claim) request(queue bool, now time.Time) Request {
	c.n++
	if queue {
		c.sent[c.n%int64(len(c.sent))] = request{c.n, now}
		c.queued, c.entered = c.n, true
	}
	return Request{
		Name: c.line.name, Token: c.token, From: c.from, TTL: c.ttl, Grant: c.grantTTL(), N: c.n, Queue: queue, Channel: c.line.keeper.channel,
		Keep: c.weight, Want: c.want, Order: c.order, Size: c.size, Shared: c.shared, Sharing: c.sharing,
	}
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

// askAfter sets when the claim asks again.
func (c *claim) askAfter(wait time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, func() { c.line.ask(c) })
		return
	}
	c.timer.Reset(wait)
}

// wake makes a claim that waits to ask again do so now, or stop if it wants nothing
// any more: something has changed.
func (c *claim) wake() {
	switch {
	case c.asking:
		c.nudged = true
	case !c.asker || c.timer == nil || !c.timer.Stop(): // or it is about to look by itself
	case c.state == live && c.want > 0:
		c.line.keeper.call(func() { c.line.ask(c) })
	default:
		c.asker = false
	}
}
