package redistest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// An Outage is a hook by which no command of a client gets through while it lasts. What
// is connected stays so: a subscription that is made again and again, with a mutex
// locked, would stop the clock of a bubble.
type Outage struct{ on atomic.Bool }

// Set begins the outage, or ends it.
func (o *Outage) Set(on bool) { o.on.Store(on) }

var errOutage = errors.New("redistest: no connection")

func (o *Outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *Outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !o.on.Load() {
			return next(ctx, cmd)
		}
		cmd.SetErr(errOutage)
		return errOutage
	}
}

func (o *Outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !o.on.Load() {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(errOutage)
		}
		return errOutage
	}
}
