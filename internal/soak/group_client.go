package main

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// count runs tasks of the group, with pauses long enough for rounds to end.
func (c *client) count(g *waitgroup.WaitGroup) {
	for c.ctx.Err() == nil {
		id, begun := c.id(), false
		c.note(event{What: asked, Key: c.index, Hold: id})
		err := g.Do(c.ctx, func(ctx context.Context) error {
			begun = true
			c.note(event{What: answered, Hold: id, Result: ok})
			d := c.below(60 * time.Millisecond)
			if c.random.IntN(12) == 0 {
				d = c.below(c.plan.TTL * 13 / 10)
			}
			for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); time.Sleep(look) {
				t := now()
				if ctx.Err() == nil {
					c.note(event{What: stillHeld, Hold: id, T: t})
				}
			}
			c.note(event{What: release, Hold: id})
			return nil
		})
		if begun {
			c.note(event{What: released, Hold: id, Result: outcome(err)})
		} else {
			c.note(event{What: answered, Hold: id, Result: outcome(err)})
		}
		time.Sleep(c.below(400 * time.Millisecond))
	}
}

// await waits for the group's rounds.
func (c *client) await(g *waitgroup.WaitGroup) {
	for c.ctx.Err() == nil {
		id := c.id()
		c.note(event{What: asked, Key: c.index, Hold: id, N: wait})
		err := g.WaitContext(c.ctx)
		e := event{What: answered, Hold: id, Result: outcome(err)}
		var left *waitgroup.AbandonedError
		if errors.As(err, &left) {
			e.Result, e.N = abandoned, int32(left.Tasks)
		}
		c.note(e)
		time.Sleep(c.below(60 * time.Millisecond))
	}
}
