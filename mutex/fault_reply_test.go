package mutex_test

import (
	"context"
	"net"
	"slices"

	"github.com/redis/go-redis/v9"
)

// hook changes how a client runs its scripts.
type hook func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error

func (h hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !slices.Contains([]string{"evalsha", "eval"}, cmd.Name()) {
			return next(ctx, cmd)
		}
		return h(next, ctx, cmd)
	}
}

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
