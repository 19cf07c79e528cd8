package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
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
	if err := c.pen.write(e); err != nil {
		panic(err)
	}
}

// contend asks for the key, holds it and lets go of it, over and over.
func (c *client) contend(ask func(context.Context, lockRequest) (handle, error)) {
	for c.ctx.Err() == nil {
		w, weight := c.choose()
		of := c.begin(w, weight)
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
				e.Fence = h.fence(keys[o.key])
			}
			c.note(e)
		}
		if err == nil {
			c.hold(h, w, of)
		}
		time.Sleep(c.below(pause))
	}
}

// A part of a hold is what it has of one key.
type part struct {
	id  int64
	key uint8
}

// begin writes down that the hold is asked for: on several keys, as one on each.
func (c *client) begin(w lockRequest, weight int32) (of []part) {
	t := now()
	for i, key := range keys {
		if key != c.key && !(c.key[0] == 'p' && key == w.keys[len(w.keys)-1]) {
			continue
		}
		p := part{c.id(), uint8(i)}
		of = append(of, p)
		c.note(event{What: asked, Key: p.key, N: weight, Hold: p.id, T: t})
	}
	return of
}

// choose says what to ask for next.
func (c *client) choose() (w lockRequest, weight int32) {
	peer := c.plan.System != "baton"
	w = lockRequest{try: !peer && (c.random.IntN(8) == 0 || onlyTried(c.key)), channel: !peer && !onlyTried(c.key) && c.random.IntN(4) == 0}
	switch c.key[0] {
	case 'r':
		w.shared = c.random.IntN(3) > 0
		if w.shared {
			return w, 1
		}
		return w, all
	case 's':
		w.n = 1 + c.random.Int64N(permits)
		return w, int32(w.n)
	case 'p':
		w.keys = []string{c.key}
		if other := "p" + string('0'+rune(c.random.IntN(3))); other != c.key {
			w.keys = append(w.keys, other)
		}
	}
	return w, 1
}

// requestCtx is the ctx of a request: that of some ends soon.
func (c *client) requestCtx(w lockRequest) (context.Context, context.CancelFunc) {
	if !w.try && c.random.IntN(6) == 0 {
		return context.WithTimeout(c.ctx, time.Millisecond+c.below(50*time.Millisecond))
	}
	return context.WithCancel(c.ctx)
}

// hold has the hold for a while, does with the register what a lock is for, and
// releases.
func (c *client) hold(h handle, w lockRequest, of []part) {
	d := c.below(shortHold)
	if c.random.IntN(15) == 0 {
		most := longestHold(c.plan.System, c.key, c.plan.TTL)
		d = most/2 + c.below(most/2)
	}
	access := Access{Key: c.key}
	guards := len(of) == 1 && exclusive(c.key) && !w.shared && h.fence != nil
	if guards {
		access.Fence = h.fence(c.key)
	}
	held := c.checkErr(h, of)
	trusting := d > shortHold || c.random.IntN(2) == 0 // does not look again before it writes, as most do not
	var v Values
	guards = guards && held && c.call("Register.Read", access, &v)
	for end := time.Now().Add(d); held && time.Now().Before(end) && c.ctx.Err() == nil; held = c.checkErr(h, of) {
		time.Sleep(look)
	}
	if guards && (held || trusting) {
		access.Plain, access.Fenced = v.Plain+1, v.Fenced+1
		c.call("Register.Write", access, &v)
	}
	c.each(of, event{What: release})
	err := h.release()
	c.each(of, event{What: released, Result: outcome(err)})
	if c.plan.System == "baton" { // peers leave it to their callers to forget
		c.checkErr(h, of) // which must not be
	}
}

func (c *client) call(method string, a Access, v *Values) bool {
	if err := c.register.Call(method, a, v); err != nil {
		panic(err)
	}
	return true
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
