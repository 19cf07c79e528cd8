package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

const (
	every = 100 * time.Millisecond // of the Once
	keep  = 50 * time.Millisecond  // of the Flight
)

var errFails = errors.New("soak: this run fails")

// once has the function of a Once run, over and over. Some runs fail, and some callers give up.
func (c *client) once() {
	o := mutex.NewOnce(c.system.(*baton).rdb, c.key)
	o.TTL, o.Every, o.Keep = c.plan.TTL, every, every
	for ; c.ctx.Err() == nil; time.Sleep(c.below(pause)) {
		ctx, cancel := c.requestCtx(lockRequest{})
		id, began, err := c.share(ctx, false, func(ctx context.Context, f func(context.Context) error) error {
			_, err := o.DoContext(ctx, f)
			return err
		})
		cancel()
		if began {
			e := event{What: released, Hold: id, Result: outcome(err)}
			switch err {
			case errFails:
				e.Result = ok
			case nil:
				e.N = 1 // it is marked
			}
			c.note(e)
		}
	}
}

// flight has the value of a Flight made, over and over.
func (c *client) flight() {
	fl := mutex.NewFlight(c.system.(*baton).rdb, c.key[:1])
	fl.TTL, fl.Keep = c.plan.TTL, keep
	for ; c.ctx.Err() == nil; time.Sleep(c.below(pause)) {
		_, _, _ = c.share(c.ctx, true, func(ctx context.Context, f func(context.Context) error) error {
			_, _, err := fl.Do(ctx, c.key[1:], func(ctx context.Context) ([]byte, error) { return nil, f(ctx) })
			return err
		})
	}
}

// share calls do, whose function is a hold of its lease if it is called. That of a Flight may go on
// when do has returned, and notes the end itself.
func (c *client) share(ctx context.Context, flight bool, do func(context.Context, func(context.Context) error) error) (id int64, began bool, err error) {
	id = c.asks(1)
	of := []part{{id, c.key}}
	d, fails := c.below(shortHold), c.random.IntN(4) == 0
	var decided atomic.Bool // whether it is called
	err = do(ctx, func(ctx context.Context) error {
		if !decided.CompareAndSwap(false, true) {
			return context.Canceled
		}
		if !flight {
			began = true
		}
		l := mutex.LeaseFromContext(ctx)
		c.note(event{What: answered, Hold: id, Result: ok, Fence: l.Fence()})
		for end := time.Now().Add(d); c.checkErr(handle{err: l.Err}, of) && ctx.Err() == nil && time.Now().Before(end); time.Sleep(look) {
		}
		c.note(event{What: release, Hold: id})
		if flight {
			c.note(event{What: released, Hold: id, Result: unsure})
		}
		if fails {
			return errFails
		}
		return nil
	})
	if decided.CompareAndSwap(false, true) {
		c.note(event{What: answered, Hold: id, Result: ended})
	}
	return id, began, err
}
