package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	sharedmutex "github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A client is one goroutine of a worker, at work on one key.
type client struct {
	*worker
	key    string
	index  uint8
	random *rand.Rand
}

const (
	shortHold = 20 * time.Millisecond // at most
	pause     = 40 * time.Millisecond // at most, between holds
	look      = 4 * time.Millisecond  // between two looks at Err
)

// longestHold is how long a hold on a key may take. What does not renew must not be held
// for long; and long after its TTL a peer still believes in what it could not renew.
func longestHold(system, key string, ttl time.Duration) time.Duration {
	switch {
	case key[0] == 'o':
		return shortHold + every
	case key[0] == 'f':
		return shortHold + keep
	case key[1] != '1' || key[0] == 'p':
		return shortHold
	case system == "baton":
		return ttl * 13 / 10
	case system == "rueidislock":
		return 3 * ttl
	}
	return shortHold
}

func (c *client) below(d time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(d)))
}

func (c *client) id() int64 {
	return int64(c.plan.Worker)<<48 | int64(c.plan.Generation)<<32 | c.serial.Add(1)
}

func (c *client) note(e event) {
	e.Worker = c.plan.Worker
	if e.T == 0 {
		e.T = now()
	}
	c.pen.write(e)
}

// asks writes down that something is asked for, and returns its number.
func (c *client) asks(weight int32) (id int64) {
	id = c.id()
	c.note(event{What: asked, Key: c.index, Hold: id, N: weight})
	return id
}

// outcome classifies what a call returned.
func outcome(err error) result {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, sharedmutex.ErrLocked):
		return locked
	case errors.Is(err, sharedmutex.ErrLost), errors.Is(err, errNotHeld):
		return lost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ended
	}
	return unsure
}

// contend asks for the key, holds it and lets go of it, over and over.
func (c *client) contend() {
	ask := c.system.request(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.below(pause)) {
		w := c.choose()
		of := c.begin(w)
		ctx, cancel := c.requestCtx(w)
		h, err := ask(ctx, w)
		r := outcome(err)
		if r == unsure && ctx.Err() != nil {
			r = ended // which redsync does not say
		}
		if r == unsure && !w.try && c.plan.System == "baton" {
			fmt.Fprintf(os.Stderr, "soak: worker %d: %s: %v\n", c.plan.Worker, c.key, err)
		}
		cancel()
		for _, o := range of {
			e := event{What: answered, Hold: o.id, Result: r}
			if r == ok && h.fence != nil {
				e.Fence = h.fence(o.key)
			}
			c.note(e)
		}
		if err == nil {
			c.hold(h, of)
		}
	}
}

// choose says what to ask for next.
func (c *client) choose() lockRequest {
	w := lockRequest{weight: 1}
	if c.plan.System == "baton" {
		w.try = c.random.IntN(8) == 0 || onlyTried(c.key)
		w.channel = !onlyTried(c.key) && c.random.IntN(4) == 0
	}
	if choose := workloadOf(c.key).choose; choose != nil {
		choose(c, &w)
	}
	return w
}

// A part of a hold is what it has of one key.
type part struct {
	id  int64
	key string
}

// begin writes down that the hold is asked for: on several keys, as one on each.
func (c *client) begin(w lockRequest) (of []part) {
	t := now()
	for i, key := range keys {
		if key != c.key && (len(w.keys) < 2 || key != w.keys[1]) {
			continue
		}
		p := part{c.id(), key}
		of = append(of, p)
		c.note(event{What: asked, Key: uint8(i), N: w.weight, Hold: p.id, T: t})
	}
	return of
}

// requestCtx is the ctx of a request: that of some ends soon.
func (c *client) requestCtx(w lockRequest) (context.Context, context.CancelFunc) {
	if !w.try && c.random.IntN(6) == 0 {
		return context.WithTimeout(c.ctx, time.Millisecond+c.below(50*time.Millisecond))
	}
	return context.WithCancel(c.ctx)
}

// hold has the hold for a while, and releases.
func (c *client) hold(h handle, of []part) {
	d := c.below(shortHold)
	if c.random.IntN(15) == 0 {
		most := longestHold(c.plan.System, c.key, c.plan.TTL)
		d = most/2 + c.below(most/2)
	}
	for end := time.Now().Add(d); c.checkErr(h, of) && time.Now().Before(end) && c.ctx.Err() == nil; {
		time.Sleep(look)
	}
	c.each(of, event{What: release})
	err := h.release()
	c.each(of, event{What: released, Result: outcome(err)})
	if c.plan.System == "baton" { // peers leave it to their callers to forget
		c.checkErr(h, of) // which must not be
	}
}

// checkErr writes down whether the hold is believed in.
func (c *client) checkErr(h handle, of []part) bool {
	e := event{What: stillHeld, T: now()}
	if err := h.err(); err != nil {
		e = event{What: lossReported, T: now(), Result: outcome(err)}
	}
	c.each(of, e)
	return e.What == stillHeld
}

func (c *client) each(of []part, e event) {
	if e.T == 0 {
		e.T = now()
	}
	for _, p := range of {
		e.Hold = p.id
		c.note(e)
	}
}

// count runs tasks of the group, with pauses long enough for rounds to end.
func (c *client) count() {
	g := c.system.(*baton).group(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.below(400 * time.Millisecond)) {
		id, end := c.asks(0), answered
		err := g.Do(c.ctx, func(ctx context.Context) error {
			end = released
			c.note(event{What: answered, Hold: id, Result: ok})
			d := c.below(60 * time.Millisecond)
			if c.random.IntN(12) == 0 {
				d = c.below(c.plan.TTL * 13 / 10)
			}
			var p pauses
			for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); time.Sleep(look) {
				t := now()
				if p.timersFired(t) && ctx.Err() == nil {
					c.note(event{What: stillHeld, Hold: id, T: t})
				}
			}
			c.note(event{What: release, Hold: id})
			return nil
		})
		c.note(event{What: end, Hold: id, Result: outcome(err)})
	}
}

// pauses notices that the process stood still. The ctx of a task is canceled by a timer, so after a
// pause it may be alive for a moment, though the task is lost. The Err of a lease looks at the clock.
type pauses struct{ looked, settled int64 }

// timersFired reports, at a look at the time t, whether the timers have fired that were due before t.
func (p *pauses) timersFired(t int64) bool {
	if t-p.looked > int64(2*look) {
		p.settled = t + int64(50*time.Millisecond)
	}
	p.looked = t
	return t >= p.settled
}

// await waits for the group's rounds.
func (c *client) await() {
	g := c.system.(*baton).group(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.below(60 * time.Millisecond)) {
		id := c.asks(wait)
		err := g.WaitContext(c.ctx)
		e := event{What: answered, Hold: id, Result: outcome(err)}
		var left *waitgroup.AbandonedError
		if errors.As(err, &left) {
			e.Result, e.N = abandoned, int32(left.Tasks)
		}
		c.note(e)
	}
}

// take takes turns, and now and then does not wait for one.
func (c *client) take() {
	l := c.system.(*baton).limiter(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.below(20 * time.Millisecond)) {
		id, r := c.asks(1), ok
		switch c.random.IntN(4) {
		case 0:
			ctx, cancel := context.WithTimeout(c.ctx, 2*commandTimeout)
			allowed, err := l.AllowContext(ctx)
			cancel()
			if r = outcome(err); err == nil && !allowed {
				r = locked
			}
		case 1:
			ctx, cancel := context.WithTimeout(c.ctx, c.below(200*time.Millisecond))
			r = outcome(l.WaitN(ctx, 1))
			cancel()
		default:
			r = outcome(l.Wait(c.ctx))
		}
		c.note(event{What: answered, Hold: id, Result: r})
	}
}
