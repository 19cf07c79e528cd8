package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

const (
	every = 100 * time.Millisecond // Every of the Once
	keep  = 50 * time.Millisecond  // Keep of the Flight
)

var errFails = errors.New("soak: this run fails")

// once runs a function through a Once repeatedly. Some runs fail, and some callers give up.
func (c *client) once() {
	o := mutex.NewOnce(c.system.(*baton).rdb, c.key)
	o.TTL, o.Every, o.Keep = c.plan.TTL, every, every
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(pause)) {
		ctx, cancel := c.requestCtx(lockRequest{})
		id, started, err := c.share(ctx, false, func(ctx context.Context, f func(context.Context) error) error {
			_, err := o.DoContext(ctx, f)
			return err
		})
		cancel()
		if started {
			e := event{Kind: released, Hold: id, Result: outcome(err)}
			switch err {
			case errFails:
				e.Result = ok
			case nil:
				e.N = 1 // the run is marked
			}
			c.record(e)
		}
	}
}

// flight gets the value of a Flight repeatedly.
func (c *client) flight() {
	fl := mutex.NewFlight(c.system.(*baton).rdb, c.key[:1])
	fl.TTL, fl.Keep = c.plan.TTL, keep
	for ; c.ctx.Err() == nil; time.Sleep(c.randomBelow(pause)) {
		_, _, _ = c.share(c.ctx, true, func(ctx context.Context, f func(context.Context) error) error {
			_, _, err := fl.Do(ctx, c.key[1:], func(ctx context.Context) ([]byte, error) { return nil, f(ctx) })
			return err
		})
	}
}

// share calls do with a function that records a hold of its lease. The function of a Flight may continue
// after do has returned, so it records the end itself.
func (c *client) share(ctx context.Context, flight bool, do func(context.Context, func(context.Context) error) error) (id int64, started bool, err error) {
	id = c.recordRequest(1)
	parts := []keyHold{{id, c.key}}
	d, fails := c.randomBelow(shortHold), c.random.IntN(4) == 0
	var decided atomic.Bool // whether the function runs is decided
	err = do(ctx, func(ctx context.Context) error {
		if !decided.CompareAndSwap(false, true) {
			return context.Canceled
		}
		if !flight {
			started = true
		}
		l := mutex.LeaseFromContext(ctx)
		c.record(event{Kind: replied, Hold: id, Result: ok, Fence: l.Fence()})
		for end := time.Now().Add(d); c.checkErr(handle{err: l.Err}, parts) && ctx.Err() == nil && time.Now().Before(end); time.Sleep(checkInterval) {
		}
		c.record(event{Kind: release, Hold: id})
		if flight {
			c.record(event{Kind: released, Hold: id, Result: unknown})
		}
		if fails {
			return errFails
		}
		return nil
	})
	if decided.CompareAndSwap(false, true) {
		c.record(event{Kind: replied, Hold: id, Result: ctxDone})
	}
	return id, started, err
}
