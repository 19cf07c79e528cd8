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

// A Hook is a hook of a client. A nil function does nothing.
type Hook struct {
	Dial     func(ctx context.Context, network, addr string, next redis.DialHook) (net.Conn, error)
	Process  func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error
	Pipeline func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error
}

// Before returns a hook that calls f before a command or a pipeline is sent. If f returns an error,
// the commands are not sent.
func Before(f func(ctx context.Context, cmds ...redis.Cmder) error) Hook {
	pipeline := func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) error {
		err := f(ctx, cmds...)
		if err == nil {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
	return Hook{Pipeline: pipeline, Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		return pipeline(ctx, []redis.Cmder{cmd}, func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds[0]) })
	}}
}

// Scripts returns a hook that calls f in place of next for each script outside of pipelines.
func Scripts(f func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error) Hook {
	return Hook{Process: func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !isScript(cmd) {
			return next(ctx, cmd)
		}
		return f(ctx, cmd, next)
	}}
}

// BeforeScripts is [Before] for scripts: f gets them one by one.
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

// PrefixKeys returns a hook that adds a prefix to each key of a script.
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

// CountRequests adds a hook to the client that counts the commands.
func CountRequests(rdb redis.UniversalClient) *atomic.Int64 {
	var sent atomic.Int64
	rdb.AddHook(Before(func(_ context.Context, cmds ...redis.Cmder) error { sent.Add(int64(len(cmds))); return nil }))
	return &sent
}

// An Outage fails all commands of a client while it is on. Connections stay open: reconnects of a
// subscription, with a mutex locked, would stop the clock of a bubble.
type Outage struct{ on atomic.Bool }

var errOutage = errors.New("redistest: no connection")

// NewOutage adds the hook of an outage to the client. The outage is off.
func NewOutage(rdb redis.UniversalClient) *Outage {
	o := new(Outage)
	rdb.AddHook(Before(func(context.Context, ...redis.Cmder) error {
		if o.on.Load() {
			return errOutage
		}
		return nil
	}))
	return o
}

// Set begins the outage, or ends it.
func (o *Outage) Set(on bool) { o.on.Store(on) }

// Sharding returns a hook that imitates a proxy with several servers behind one address: the hash
// tag of a script's first key selects the server. Messages stay on one server.
func Sharding(shards ...*redis.Client) Hook {
	process := func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !isScript(cmd) {
			return next(ctx, cmd)
		}
		hash := fnv.New32()
		_, _ = hash.Write([]byte(HashTag(fmt.Sprint(cmd.Args()[3]))))
		return shards[hash.Sum32()%uint32(len(shards))].Process(ctx, cmd)
	}
	return Hook{Process: process, Pipeline: func(ctx context.Context, cmds []redis.Cmder, next redis.ProcessPipelineHook) (err error) {
		for _, cmd := range cmds {
			err = errors.Join(err, process(ctx, cmd, func(ctx context.Context, cmd redis.Cmder) error { return next(ctx, []redis.Cmder{cmd}) }))
		}
		return err
	}}
}

// HashTag returns the part of a key that clusters and proxies hash.
func HashTag(key string) string {
	_, after, _ := strings.Cut(key, "{")
	if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
		return tag
	}
	return key
}
