package redistest

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Requests is a hook that counts what a client sends.
type Requests struct{ atomic.Int64 }

// DialHook lets the client connect.
func (r *Requests) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a command.
func (r *Requests) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook counts each command of a pipeline.
func (r *Requests) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		r.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}
