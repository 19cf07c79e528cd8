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

// A client is one goroutine of a worker. It uses one key.
type client struct {
	*worker
	key    string
	index  uint8
	random *rand.Rand
}

const (
	shortHold     = 20 * time.Millisecond // maximum
	pause         = 40 * time.Millisecond // maximum between holds
	checkInterval = 4 * time.Millisecond  // between calls of Err
)

// longestHold returns the maximum time of a hold on a key. Locks without renewal must be held only shortly.
// A rueidislock hold can stay valid in its process long after its TTL.
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

func (c *client) randomBelow(d time.Duration) time.Duration {
	return time.Duration(c.random.Int64N(int64(d)))
}

func (c *client) id() int64 {
	return int64(c.plan.Worker)<<48 | int64(c.plan.Generation)<<32 | c.serial.Add(1)
}

func (c *client) record(e event) {
	e.Worker = c.plan.Worker
	if e.T == 0 {
		e.T = now()
	}
	c.journal.write(e)
}

// recordRequest records a request, and returns its ID.
func (c *client) recordRequest(weight int32) (id int64) {
	id = c.id()
	c.record(event{Kind: requested, Key: c.index, Hold: id, N: weight})
	return id
}

// outcome classifies the error of a call.
func outcome(err error) result {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, sharedmutex.ErrLocked):
		return locked
	case errors.Is(err, sharedmutex.ErrLost), errors.Is(err, errNotHeld):
		return lost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ctxDone
	}
	return unknown
}

// contend acquires, holds and releases the key repeatedly.
func (c *client) contend() {
	acquire := c.system.request(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(pause)) {
		w := c.choose()
		parts := c.recordRequests(w)
		ctx, cancel := c.requestCtx(w)
		h, err := acquire(ctx, w)
		r := outcome(err)
		if r == unknown && ctx.Err() != nil {
			r = ctxDone // redsync does not return the ctx's error
		}
		if r == unknown && !w.try && c.plan.System == "baton" {
			fmt.Fprintf(os.Stderr, "soak: worker %d: %s: %v\n", c.plan.Worker, c.key, err)
		}
		cancel()
		for _, o := range parts {
			e := event{Kind: replied, Hold: o.id, Result: r}
			if r == ok && h.fence != nil {
				e.Fence = h.fence(o.key)
			}
			c.record(e)
		}
		if err == nil {
			c.hold(h, parts)
		}
	}
}

// choose returns the next request.
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

// A keyHold is the part of a hold on one key.
type keyHold struct {
	id  int64
	key string
}

// recordRequests records a request, which may be for several keys, as one request per key.
func (c *client) recordRequests(w lockRequest) (parts []keyHold) {
	t := now()
	for i, key := range keys {
		if key != c.key && (len(w.keys) < 2 || key != w.keys[1]) {
			continue
		}
		p := keyHold{c.id(), key}
		parts = append(parts, p)
		c.record(event{Kind: requested, Key: uint8(i), N: w.weight, Hold: p.id, T: t})
	}
	return parts
}

// requestCtx returns the ctx of a request. Some have a short timeout.
func (c *client) requestCtx(w lockRequest) (context.Context, context.CancelFunc) {
	if !w.try && c.random.IntN(6) == 0 {
		return context.WithTimeout(c.ctx, time.Millisecond+c.randomBelow(50*time.Millisecond))
	}
	return context.WithCancel(c.ctx)
}

// hold keeps the hold for some time, and releases it.
func (c *client) hold(h handle, parts []keyHold) {
	d := c.randomBelow(shortHold)
	if c.random.IntN(15) == 0 {
		most := longestHold(c.plan.System, c.key, c.plan.TTL)
		d = most/2 + c.randomBelow(most/2)
	}
	for end := time.Now().Add(d); c.checkErr(h, parts) && time.Now().Before(end) && c.ctx.Err() == nil; {
		time.Sleep(checkInterval)
	}
	c.recordEach(parts, event{Kind: release})
	err := h.release()
	c.recordEach(parts, event{Kind: released, Result: outcome(err)})
	if c.plan.System == "baton" { // peers do not report the end of a released hold
		c.checkErr(h, parts) // Err must not return nil
	}
}

// checkErr records the result of Err.
func (c *client) checkErr(h handle, parts []keyHold) bool {
	e := event{Kind: stillHeld, T: now()}
	if err := h.err(); err != nil {
		e = event{Kind: lossReported, T: now(), Result: outcome(err)}
	}
	c.recordEach(parts, e)
	return e.Kind == stillHeld
}

func (c *client) recordEach(parts []keyHold, e event) {
	if e.T == 0 {
		e.T = now()
	}
	for _, p := range parts {
		e.Hold = p.id
		c.record(e)
	}
}

// runTasks runs tasks of the group, with pauses long enough for generations to end.
func (c *client) runTasks() {
	g := c.system.(*baton).group(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(400 * time.Millisecond)) {
		id, end := c.recordRequest(0), replied
		err := g.Do(c.ctx, func(ctx context.Context) error {
			end = released
			c.record(event{Kind: replied, Hold: id, Result: ok})
			d := c.randomBelow(60 * time.Millisecond)
			if c.random.IntN(12) == 0 {
				d = c.randomBelow(c.plan.TTL * 13 / 10)
			}
			var p pauses
			for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); time.Sleep(checkInterval) {
				t := now()
				if p.timersFired(t) && ctx.Err() == nil {
					c.record(event{Kind: stillHeld, Hold: id, T: t})
				}
			}
			c.record(event{Kind: release, Hold: id})
			return nil
		})
		c.record(event{Kind: end, Hold: id, Result: outcome(err)})
	}
}

// pauses detects that the process was stopped. The ctx of a task is canceled by a timer, so after a stop it
// may be valid for a moment although the task is lost. (The Err of a lease uses the clock instead.)
type pauses struct{ looked, settled int64 }

// timersFired reports whether timers that were due before t have certainly fired.
func (p *pauses) timersFired(t int64) bool {
	if t-p.looked > int64(2*checkInterval) {
		p.settled = t + int64(50*time.Millisecond)
	}
	p.looked = t
	return t >= p.settled
}

// awaitGroup waits for the group's generations.
func (c *client) awaitGroup() {
	g := c.system.(*baton).group(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(60 * time.Millisecond)) {
		id := c.recordRequest(wait)
		err := g.WaitContext(c.ctx)
		e := event{Kind: replied, Hold: id, Result: outcome(err)}
		var left *waitgroup.AbandonedError
		if errors.As(err, &left) {
			e.Result, e.N = abandoned, int32(left.Tasks)
		}
		c.record(e)
	}
}

// takeTokens takes tokens of the limiter, by waits and by tries.
func (c *client) takeTokens() {
	l := c.system.(*baton).limiter(c.key)
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(20 * time.Millisecond)) {
		id, r := c.recordRequest(1), ok
		switch c.random.IntN(4) {
		case 0:
			ctx, cancel := context.WithTimeout(c.ctx, 2*commandTimeout)
			allowed, err := l.AllowContext(ctx)
			cancel()
			if r = outcome(err); err == nil && !allowed {
				r = locked
			}
		case 1:
			ctx, cancel := context.WithTimeout(c.ctx, c.randomBelow(200*time.Millisecond))
			r = outcome(l.WaitN(ctx, 1))
			cancel()
		default:
			r = outcome(l.Wait(c.ctx))
		}
		c.record(event{Kind: replied, Hold: id, Result: r})
	}
}
