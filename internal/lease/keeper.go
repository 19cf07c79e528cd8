package lease

import (
	"container/heap"
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Keeper keeps the leases that one process has through one Redis client.
type Keeper struct {
	store   Store
	channel string // where it hears of hand-overs
	owner   string // what its tokens have in common
	serial  atomic.Int64
	trip    atomic.Int64 // how long a request takes, in ns: a moving average
	backlog Backlog
	crew    atomic.Pointer[crew] // there is one while there is a subscription

	mu       sync.Mutex
	lines    Map[Name, *line]
	watches  Map[string, *watch] // by the key of their wait groups
	expected Map[string, *claim] // by token: those that may be handed over
	polls    backoff.BackOff     // has no memory, so that one serves for all claims
	clock    clock               // the held claims and the tasks
	timer    *time.Timer         // set for the first of them
	armed    time.Time           // when the timer fires, zero if it does not
	ear      ear
}

// NewKeeper returns the keeper of a store. It needs no Close: it is at rest
// whenever nothing is held or awaited.
func NewKeeper(s Store) *Keeper {
	id := rand.Text()[:16]
	return &Keeper{store: s, channel: "baton:" + id, owner: ownerPart(id), polls: newBackoff(PollBound, 0.1)}
}

// join puts a lease into the line of its key. If ctx can end, its end makes a
// lease with mail give up. Else the caller may have to send the request itself:
// join returns the claim for which it must call askHere.
func (k *Keeper) join(ctx context.Context, name Name, l *Lease) (ask *claim) {
	for {
		if ask, ok := k.line(name).admit(ctx, l); ok {
			return ask
		}
	}
}

// line returns the line of that name.
func (k *Keeper) line(name Name) *line {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.lines.M[name]
	if l == nil {
		l = &line{keeper: k, name: name}
		k.lines.Set(name, l)
		k.ear.keep()
	}
	return l
}

// admit takes a lease in, unless the line has gone in the meantime.
func (l *line) admit(ctx context.Context, lease *Lease) (ask *claim, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil, false
	}
	c, excluded := l.claim, lease.try && l.excludes(lease)
	lease.line, lease.late = l, c != nil && c.asking
	l.waiters.push(lease)
	switch {
	case excluded:
		lease.refuse(ErrLocked)
		return nil, true
	case ctx.Done() != nil && lease.mail != nil:
		lease.unhook = context.AfterFunc(ctx, func() { lease.giveUp(ctx) })
	case lease.mail == nil && c == nil && (ctx.Done() == nil || l.keeper.store.Prompt()):
		l.claim = newClaim(l, lease)
		l.claim.asker = true
		return l.claim, true
	}
	if lease.try && c != nil && !c.asking { // it may be pausing, because Redis is away
		c.wake()
	}
	if lease.try && c != nil && c.pauses && c.wait != nil { // in its release, for the same reason
		close(c.wait)
		c.pauses, c.wait = false, nil
	}
	l.later(l.advance())
	lease.traceWait()
	return nil, true
}

// excludes reports whether a try fails without a request: because of what leases
// here hold, or because one of them is known to wait.
func (l *line) excludes(try *Lease) bool {
	c, head := l.claim, l.waiters.head
	switch {
	case c == nil || c.state != live:
		return false
	case head != nil:
		return !head.try && (c.denied || !c.open())
	}
	return !c.mayAsk(try)
}

// drop removes a line that nobody needs. The line is locked.
func (k *Keeper) drop(l *line) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.gone = true
	k.lines.Delete(l.name)
	k.rest()
}

// rest closes the subscription, in a moment, if nobody needs it. The keeper is
// locked.
func (k *Keeper) rest() {
	if len(k.lines.M)+len(k.watches.M) == 0 {
		k.ear.linger(k)
	}
}

// poll is after how long to ask again when we shall be told, in case the message is lost.
func (k *Keeper) poll() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.polls.NextBackOff()
}

// expect makes hand-overs to the claim known here.
func (k *Keeper) expect(c *claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expected.Set(c.token, c)
	c.expected = true
}

// hearken makes sure that a claim which leases join without asking hears when
// others begin to wait. What was said before is found out by a renewal: now, or
// when the subscription is there.
func (k *Keeper) hearken(c *claim, now time.Time) {
	k.mu.Lock()
	known := c.expected
	k.expected.Set(c.token, c)
	c.expected = true
	hears := k.ear.hears
	if hears && !known {
		k.hasten(c, now)
	}
	k.mu.Unlock()
	if !hears {
		k.listen(nil)
	}
}

// hasten makes a held claim due. The keeper is locked.
func (k *Keeper) hasten(c *claim, now time.Time) {
	if c.place >= 0 {
		c.due = now
		heap.Fix(&k.clock, c.place)
		k.arm()
	}
}

// forget ends all that the keeper does for a claim.
func (k *Keeper) forget(c *claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock.remove(c)
	if c.expected {
		k.expected.Delete(c.token)
	}
}

// watch sets when the clock is to look at a held claim again. That is not later
// than a lease of it may have to be ended. The line is locked.
func (k *Keeper) watch(c *claim, now time.Time) {
	next := lookAfter(c.trust, now)
	if !c.ending.IsZero() {
		next = min(next, max(c.ending.Sub(now), 0))
	}
	k.attend(c, c.trust, now, next)
}

// lookAfter is when the clock looks at a charge again: when a third is over of what
// Redis has left of its TTL, so that each renewal lasts for a third of the TTL. While
// renewing fails that is ever sooner, but no sooner than after the retry interval.
func lookAfter(w window, now time.Time) time.Duration {
	left := w.left(now)
	return min(left, max((left+w.margin)/3, w.retryInterval()))
}

// attend has the clock look at the charge after next. It may do so sooner, together
// with others: by a twelfth of the TTL, but not before the retry interval is over.
func (k *Keeper) attend(c charge, w window, now time.Time, next time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := c.when()
	a.due, a.slack = now.Add(next), max(0, min((w.length+w.margin)/12, next-w.retryInterval()))
	if a.place < 0 {
		heap.Push(&k.clock, c)
	} else {
		heap.Fix(&k.clock, a.place)
	}
	k.arm()
}

// unwatch takes a charge from the clock.
func (k *Keeper) unwatch(c charge) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clock.remove(c)
}

// undo gives back what a request of the claim may have made after its end.
func (k *Keeper) undo(c *claim) {
	_ = k.giveBack(c.caller, c.line.name, c.token, time.Now().Add(c.life()), c.last, nil)
}

// giveBack releases a token, with retries until it is confirmed or until passes,
// when the token has run out by itself.
func (k *Keeper) giveBack(ctx context.Context, name Name, token string, until time.Time, t *tracer, sleep func(time.Duration, error)) error {
	return k.persist(ctx, until, func(ctx context.Context) (bool, error) {
		owned, err := k.store.Release(ctx, name, token)
		t.redisError("release", err)
		return owned, err
	}, sleep)
}

// persist makes attempts until one is confirmed, or until passes. It returns
// ErrLost if the first of them is told that there was nothing to give back. No
// attempt may take all of the time: one connection that has fallen silent must
// not be the only try. After one that has failed it sleeps, by the function sleep if
// there is one. The ctx is for its values only.
func (k *Keeper) persist(ctx context.Context, until time.Time, attempt func(context.Context) (owned bool, err error), sleep func(time.Duration, error)) error {
	var pause backoff.BackOff
	var why error
	var replies chan attemptResult // of the attempts that are not waited for to their end
	var over chan struct{}         // closed when no more replies are wanted
	defer func() {
		if over != nil {
			close(over)
		}
	}()
	for unsure := false; ; unsure = true {
		left := time.Until(until)
		var got attemptResult
		if k.store.Patience() < left {
			got = attemptHere(ctx, max(left/3, MinTTL), attempt)
		} else {
			if over == nil {
				replies, over = make(chan attemptResult), make(chan struct{})
			}
			got = k.attemptElsewhere(ctx, max(left/3, MinTTL), attempt, replies, over)
		}
		if got.err == nil {
			k.backlog.answered.Add(1)
		}
		switch {
		case got.err == nil && !got.owned && !unsure:
			return ErrLost
		case got.err == nil:
			return nil
		case IsPermanent(insist(got.err)) || isPanic(got.err):
			return got.err
		}
		if why == nil || got.err != ErrNoAnswer { // Redis' own word says more
			why = got.err
		}
		if left = time.Until(until); left <= 0 {
			return why
		}
		if pause == nil {
			pause = newBackoff(5*time.Millisecond, 0.5)
		}
		if wait := min(pause.NextBackOff(), left); sleep != nil {
			sleep(wait, got.err)
		} else {
			time.Sleep(wait)
		}
	}
}

// attemptResult is that of an attempt to give something back.
type attemptResult struct {
	owned bool
	err   error
}

func attemptHere(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error)) (o attemptResult) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o.owned, o.err = attempt(ctx)
	return o
}

// attemptElsewhere makes an attempt on another goroutine, and waits for it for the
// timeout. An earlier attempt may reply instead.
func (k *Keeper) attemptElsewhere(ctx context.Context, timeout time.Duration, attempt func(context.Context) (bool, error), replies chan attemptResult, over chan struct{}) attemptResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	k.call(func() {
		defer cancel() // not sooner: it may end well although nobody waits for it any more
		owned, err := attempt(ctx)
		select {
		case replies <- attemptResult{owned, err}:
		case <-over:
		}
	})
	select {
	case o := <-replies:
		return o
	case <-ctx.Done():
		return attemptResult{err: ErrNoAnswer}
	}
}
