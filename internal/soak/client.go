package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A client is one goroutine of a worker. It uses one key.
type client struct {
	*worker
	key    string
	random *rand.Rand
}

const (
	shortHold     = 20 * time.Millisecond  // maximum
	pause         = 40 * time.Millisecond  // maximum between holds
	checkInterval = 4 * time.Millisecond   // between calls of Err
	every         = 100 * time.Millisecond // Every of the Once
	keep          = 50 * time.Millisecond  // Keep of the Flight
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

// pauses sleeps for a random time, and reports whether the worker continues.
func (c *client) pauses(most time.Duration) bool {
	time.Sleep(c.randomBelow(most))
	return c.ctx.Err() == nil
}

// record writes the change of a hold, which may be on several keys, to the journal.
func (c *client) record(hold []*interval, change func(h *interval)) {
	for _, h := range hold {
		change(h)
		h.write(c.journal)
	}
}

// request records a request for a hold on keys.
func (c *client) request(weight int32, wanted ...string) (hold []*interval) {
	for i, key := range keys {
		for _, w := range wanted {
			if key == w {
				id := int64(c.plan.Worker)<<48 | int64(c.plan.Generation)<<32 | c.serial.Add(1)
				hold = append(hold, &interval{ID: id, Worker: c.plan.Worker, Key: uint8(i), Weight: weight})
			}
		}
	}
	t := now()
	c.record(hold, func(h *interval) { h.Requested = t })
	return hold
}

// reply records the result of a request.
func (c *client) reply(hold []*interval, r result) {
	c.record(hold, func(h *interval) { h.Result, h.Replied = r, now() })
}

// outcome classifies the error of a call.
func outcome(err error) result {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, mutex.ErrLocked):
		return locked
	case errors.Is(err, mutex.ErrLost), errors.Is(err, errNotHeld):
		return lost
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return ctxDone
	}
	return unknown
}

// contend acquires, holds and releases the key repeatedly.
func (c *client) contend() {
	for acquire := c.worker.request(c.key); c.pauses(pause); {
		w := c.choose()
		hold := c.request(w.weight, w.keys...)
		ctx, cancel := c.requestCtx(w)
		l, err := acquire(ctx, w)
		r := outcome(err)
		if r == unknown && ctx.Err() != nil {
			r = ctxDone // redsync does not return the ctx's error
		}
		if r == unknown && !w.try && c.plan.System == "baton" {
			fmt.Fprintf(os.Stderr, "soak: worker %d: %s: %v\n", c.plan.Worker, c.key, err)
		}
		cancel()
		if r == ok && l.fence != nil {
			for _, h := range hold {
				h.Fence = l.fence(h.key())
			}
		}
		c.reply(hold, r)
		if err == nil {
			c.hold(l, hold)
		}
	}
}

// choose returns the next request.
func (c *client) choose() lockRequest {
	w := lockRequest{weight: 1, keys: []string{c.key}}
	if c.plan.System == "baton" {
		w.try = c.random.IntN(8) == 0 || onlyTried(c.key)
		w.channel = !onlyTried(c.key) && c.random.IntN(4) == 0
	}
	switch c.key[0] {
	case 'r':
		if w.shared = c.random.IntN(3) > 0; !w.shared {
			w.weight = all
		}
	case 's':
		w.weight = 1 + c.random.Int32N(permits)
	case 'p':
		if other := "p" + string('0'+rune(c.random.IntN(3))); other != c.key {
			w.keys = append(w.keys, other)
		}
	}
	return w
}

// requestCtx returns the ctx of a request. Some have a short timeout.
func (c *client) requestCtx(w lockRequest) (context.Context, context.CancelFunc) {
	if !w.try && c.random.IntN(6) == 0 {
		return context.WithTimeout(c.ctx, time.Millisecond+c.randomBelow(50*time.Millisecond))
	}
	return context.WithCancel(c.ctx)
}

// hold keeps the hold for some time, and releases it.
func (c *client) hold(l handle, hold []*interval) {
	d := c.randomBelow(shortHold)
	if c.random.IntN(15) == 0 {
		most := longestHold(c.plan.System, c.key, c.plan.TTL)
		d = most/2 + c.randomBelow(most/2)
	}
	c.keepFor(c.ctx, d, l.err, hold)
	c.record(hold, func(h *interval) { h.Release = now() })
	err := l.release()
	c.record(hold, func(h *interval) { h.Released, h.End = now(), outcome(err) })
	if c.plan.System == "baton" { // peers do not report the end of a released hold
		c.checkErr(l.err, hold) // Err must not return nil
	}
}

// keepFor keeps a hold for a time, until its loss, or until ctx is done.
func (c *client) keepFor(ctx context.Context, d time.Duration, holdErr func() error, hold []*interval) {
	for end := time.Now().Add(d); c.checkErr(holdErr, hold) && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(checkInterval)
	}
}

// checkErr records the result of Err, and reports whether the hold is valid.
func (c *client) checkErr(holdErr func() error, hold []*interval) bool {
	t := now()
	err := holdErr()
	c.record(hold, func(h *interval) { h.observed(t, err) })
	return err == nil
}

// runTasks runs tasks of the group, with pauses long enough for generations to end.
func (c *client) runTasks() {
	g := waitgroup.New(c.rdb, c.key)
	for g.TTL = c.plan.TTL; c.pauses(400 * time.Millisecond); {
		task, started := c.request(0, c.key), false
		err := g.Do(c.ctx, func(ctx context.Context) error {
			started = true
			c.reply(task, ok)
			d := c.randomBelow(60 * time.Millisecond)
			if c.random.IntN(12) == 0 {
				d = c.randomBelow(c.plan.TTL * 13 / 10)
			}
			var p processStops
			for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); time.Sleep(checkInterval) {
				if t := now(); p.timersFired(t) && ctx.Err() == nil {
					c.record(task, func(h *interval) { h.observed(t, nil) })
				}
			}
			c.record(task, func(h *interval) { h.Release = now() })
			return nil
		})
		if started {
			c.record(task, func(h *interval) { h.Released, h.End = now(), outcome(err) })
		} else {
			c.reply(task, outcome(err))
		}
	}
}

// processStops detects that the process was stopped. The ctx of a task is canceled by a timer, so after a stop it
// may be valid for a moment although the task is lost. (The Err of a lease uses the clock instead.)
type processStops struct{ looked, settled int64 }

// timersFired reports whether timers that were due before t have certainly fired.
func (p *processStops) timersFired(t int64) bool {
	if t-p.looked > int64(2*checkInterval) {
		p.settled = t + int64(50*time.Millisecond)
	}
	p.looked = t
	return t >= p.settled
}

// awaitGroup waits for the group's generations.
func (c *client) awaitGroup() {
	g := waitgroup.New(c.rdb, c.key)
	for g.TTL = c.plan.TTL; c.pauses(60 * time.Millisecond); {
		h := c.request(wait, c.key)
		err := g.WaitContext(c.ctx)
		r := outcome(err)
		var left *waitgroup.AbandonedError
		if errors.As(err, &left) {
			r, h[0].Abandoned = abandoned, int32(left.Tasks)
		}
		c.reply(h, r)
	}
}

// takeTokens takes tokens of the limiter, by waits and by tries.
func (c *client) takeTokens() {
	for l := semaphore.NewLimiter(c.rdb, c.key, rate, burst); c.pauses(20 * time.Millisecond); {
		h, r := c.request(1, c.key), ok
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
		c.reply(h, r)
	}
}

var errFails = errors.New("soak: this run fails")

// once runs a function through a Once repeatedly. Some runs fail, and some callers give up.
func (c *client) once() {
	o := mutex.NewOnce(c.rdb, c.key)
	o.TTL, o.Every, o.Keep = c.plan.TTL, every, every
	for c.pauses(pause) {
		ctx, cancel := c.requestCtx(lockRequest{})
		hold := c.request(1, c.key)
		started, err := c.share(hold, func(f func(context.Context) error) error {
			_, err := o.DoContext(ctx, f)
			return err
		}, nil)
		cancel()
		if started {
			c.record(hold, func(h *interval) {
				h.Released, h.End, h.Marked = now(), outcome(err), err == nil
				if err == errFails {
					h.End = ok
				}
			})
		}
	}
}

// flight gets the value of a Flight repeatedly. The function may continue after Do has returned, so it records
// the end itself.
func (c *client) flight() {
	fl := mutex.NewFlight(c.rdb, c.key[:1])
	fl.TTL, fl.Keep = c.plan.TTL, keep
	for c.pauses(pause) {
		hold := c.request(1, c.key)
		_, _ = c.share(hold, func(f func(context.Context) error) error {
			_, _, err := fl.Do(c.ctx, c.key[1:], func(ctx context.Context) ([]byte, error) { return nil, f(ctx) })
			return err
		}, func(h *interval) { h.Released, h.End = now(), unknown })
	}
}

// share calls do with a function that records a hold of its lease, and calls ended for it. It reports whether
// the function has started.
func (c *client) share(hold []*interval, do func(func(context.Context) error) error, ended func(*interval)) (started bool, err error) {
	d, fails := c.randomBelow(shortHold), c.random.IntN(4) == 0
	var decided atomic.Bool // whether the function runs is decided
	err = do(func(ctx context.Context) error {
		if !decided.CompareAndSwap(false, true) {
			return context.Canceled
		}
		l := mutex.LeaseFromContext(ctx)
		hold[0].Fence = l.Fence()
		c.reply(hold, ok)
		c.keepFor(ctx, d, l.Err, hold)
		c.record(hold, func(h *interval) { h.Release = now() })
		if ended != nil {
			c.record(hold, ended)
		}
		if fails {
			return errFails
		}
		return nil
	})
	if decided.CompareAndSwap(false, true) {
		c.reply(hold, ctxDone)
		return false, err
	}
	return true, err
}
