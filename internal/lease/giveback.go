package lease

import (
	"context"
	"time"
)

// lower tells Redis of permits that are used no more, and returns when that is
// confirmed, or no longer matters.
func (l *line) lower(c *claim) error {
	l.mu.Lock()
	now := time.Now()
	until, caller := now.Add(c.trust.left(now)), c.caller
	l.mu.Unlock()
	return l.keeper.persist(caller, until, func(ctx context.Context) (owned bool, err error) {
		l.mu.Lock()
		if c.state != live || !c.owes() {
			l.mu.Unlock()
			return true, nil
		}
		now := time.Now()
		r := l.request(c, now)
		l.mu.Unlock()

		reply, err := l.keeper.store.Ask(ctx, r)

		l.mu.Lock()
		lost := c.lostBy(r, reply)
		todo := l.answer(c, r, reply, err, now)
		l.mu.Unlock()
		if err == nil || !todo.lower { // else this is repeated
			l.later(todo)
		}
		return !lost, err
	}, nil)
}

// leave turns the claim of the line into one that is being given back.
func (l *line) leave() *claim {
	c := l.claim
	now := time.Now()
	if c.until = now.Add(c.trust.left(now)); c.want > 0 || c.entered || c.from != "" {
		c.until = now.Add(c.life())
		if c.inflight > 0 {
			c.wait = make(chan struct{})
		}
	}
	c.state = leaving
	c.wake()
	l.keeper.unwatch(c)
	return c
}

// letGo gives a leaving claim back in Redis, and returns when that is confirmed
// or no longer matters because the claim has run out by itself.
func (l *line) letGo(c *claim) {
	l.mu.Lock()
	wait := c.wait
	l.mu.Unlock()
	if wait != nil { // else the release could overtake the request that it undoes
		timer := time.NewTimer(grace)
		select {
		case <-wait:
		case <-timer.C:
		}
		timer.Stop()
	}
	l.mu.Lock()
	c.orphaned = c.inflight > 0
	from := c.from
	l.mu.Unlock()

	if from != "" {
		_ = l.giveBack(c, from)
	}
	c.err = l.giveBack(c, c.token)

	l.mu.Lock()
	if c.again || isPanic(c.err) {
		go l.keeper.undo(c)
	}
	l.end(c)
	todo := l.advance()
	l.mu.Unlock()
	l.later(todo)
}

// giveBack releases a token of a leaving claim. Those who wait behind it need the same of
// Redis: an error that is final for them ends their wait.
func (l *line) giveBack(c *claim, token string) error {
	return l.keeper.persist(c.caller, c.until, func(ctx context.Context) (bool, error) {
		owned, err := l.keeper.store.Release(ctx, l.name, token)
		c.last.redisError("release", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.outcome(c, err)
		return owned, err
	}, c.pauseRelease)
}

// pauseRelease waits before a release that has failed is repeated. A try waits for one
// attempt, as for a request of its own: those that are there fail, and the next one
// ends the pause.
func (c *claim) pauseRelease(pause time.Duration, err error) {
	c.line.mu.Lock()
	c.line.refuseTries(err)
	tried := make(chan struct{})
	c.pauses, c.wait = true, tried
	c.line.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	}
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.pauses, c.wait = false, nil
}
