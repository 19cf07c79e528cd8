package redistest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// A Hook is a hook of a client. What is nil does nothing.
type Hook struct {
	Dial     func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error)
	Process  func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error
	Pipeline func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error
}

// Before returns a hook that is told of commands before they are sent, of a pipeline or alone. They
// are not sent if it returns an error.
func Before(f func(ctx context.Context, cmds ...redis.Cmder) error) Hook {
	fail := func(ctx context.Context, cmds ...redis.Cmder) error {
		err := f(ctx, cmds...)
		for _, cmd := range cmds {
			if err != nil {
				cmd.SetErr(err)
			}
		}
		return err
	}
	return Hook{
		Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if err := fail(ctx, cmd); err != nil {
				return err
			}
			return next(ctx, cmd)
		},
		Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
			if err := fail(ctx, cmds...); err != nil {
				return err
			}
			return next(ctx, cmds)
		},
	}
}

// Scripts returns a hook by which f runs each script that is alone in its request.
func Scripts(f func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error) Hook {
	return Hook{Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !isScript(cmd) {
			return next(ctx, cmd)
		}
		return f(ctx, cmd, next)
	}}
}

// BeforeScripts is [Before] for scripts, one at a time.
func BeforeScripts(f func(ctx context.Context, cmd redis.Cmder)) Hook {
	return Before(func(ctx context.Context, cmds ...redis.Cmder) error {
		for _, cmd := range cmds {
			if isScript(cmd) {
				f(ctx, cmd)
			}
		}
		return nil
	})
}

// PrefixKeys returns a hook that puts a prefix before each key of a script, as for a tenant.
func PrefixKeys(prefix string) Hook {
	return BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
		for i, key := range KeysOf(cmd) {
			KeysOf(cmd)[i] = prefix + key.(string)
		}
	})
}

// KeysOf returns the keys of a script.
func KeysOf(cmd redis.Cmder) []any {
	if !isScript(cmd) {
		return nil
	}
	args := cmd.Args() // EVALSHA hash count key …
	return args[3 : 3+args[2].(int)]
}

func isScript(cmd redis.Cmder) bool { return strings.HasPrefix(cmd.Name(), "eval") }

// DialHook calls Dial.
func (h Hook) DialHook(next redis.DialHook) redis.DialHook {
	if h.Dial == nil {
		return next
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return h.Dial(ctx, network, addr, next)
	}
}

// ProcessHook calls Process.
func (h Hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	if h.Process == nil {
		return next
	}
	return func(ctx context.Context, cmd redis.Cmder) error { return h.Process(ctx, cmd, next) }
}

// ProcessPipelineHook calls Pipeline.
func (h Hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	if h.Pipeline == nil {
		return next
	}
	return func(ctx context.Context, cmds []redis.Cmder) error { return h.Pipeline(ctx, cmds, next) }
}

// Requests is a hook that counts what a client sends.
type Requests struct{ atomic.Int64 }

func (r *Requests) hook() Hook {
	return Before(func(_ context.Context, cmds ...redis.Cmder) error { r.Add(int64(len(cmds))); return nil })
}

// DialHook lets the client connect.
func (r *Requests) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts a command.
func (r *Requests) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return r.hook().ProcessHook(next)
}

// ProcessPipelineHook counts each command of a pipeline.
func (r *Requests) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return r.hook().ProcessPipelineHook(next)
}

// An Outage is a hook by which no command of a client gets through while it lasts. What
// is connected stays so: a subscription that is made again and again, with a mutex
// locked, would stop the clock of a bubble.
type Outage struct{ on atomic.Bool }

// Set begins the outage, or ends it.
func (o *Outage) Set(on bool) { o.on.Store(on) }

var errOutage = errors.New("redistest: no connection")

func (o *Outage) hook() Hook {
	return Before(func(context.Context, ...redis.Cmder) error {
		if o.on.Load() {
			return errOutage
		}
		return nil
	})
}

// DialHook lets the client connect.
func (o *Outage) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook fails a command.
func (o *Outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return o.hook().ProcessHook(next)
}

// ProcessPipelineHook fails each command of a pipeline.
func (o *Outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return o.hook().ProcessPipelineHook(next)
}

// Sharding returns a hook that does what a proxy does that has several servers behind one address:
// it sends each script where the hash tag of its first key is. Messages stay on one server.
func Sharding(shards ...*redis.Client) Hook {
	process := func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !isScript(cmd) {
			return next(ctx, cmd)
		}
		hash := fnv.New32()
		_, _ = hash.Write([]byte(HashTag(fmt.Sprint(cmd.Args()[3])))) // EVALSHA hash count key
		return shards[hash.Sum32()%uint32(len(shards))].Process(ctx, cmd)
	}
	return Hook{Process: process, Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) (err error) {
		for _, cmd := range cmds {
			err = errors.Join(err, process(ctx, cmd, func(ctx context.Context, cmd redis.Cmder) error { return next(ctx, []redis.Cmder{cmd}) }))
		}
		return err
	}}
}

// HashTag returns the part of a key that a cluster, or a proxy, hashes.
func HashTag(key string) string {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}
