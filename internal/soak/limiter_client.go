package main

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/semaphore"
)

// take takes turns, and now and then does not wait for one.
func (c *client) take(l *semaphore.Limiter) {
	for c.ctx.Err() == nil {
		id := c.id()
		c.note(event{What: asked, Key: c.index, Hold: id, N: 1})
		r := ok
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
		time.Sleep(c.below(20 * time.Millisecond))
	}
}
