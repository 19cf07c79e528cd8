package redisstore

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// connTimeout is for how long a pipeline waits for a connection, and after
// which a command without a reply is taken for a sign that its server is silent.
const connTimeout = 250 * time.Millisecond

// withoutDeadline returns a context that ends after the timeout and has no deadline,
// which go-redis may apply to replies: only waiting for a connection ends with it.
func withoutDeadline(timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(timeout, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// withTimer gives ctx a timer if it has a deadline and no Done channel.
func withTimer(ctx context.Context) (context.Context, context.CancelFunc) {
	at, ok := ctx.Deadline()
	if !ok || ctx.Done() != nil {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, at)
}

// A transport sends each command to its server by a [pipeliner]: one for a single
// server, one for each node of a cluster. So a node that does not answer keeps no
// command from the others. For a client of a kind that it does not know, it has
// one that never batches.
type transport struct {
	cluster *redis.ClusterClient // nil if it is none
	single  *pipeliner

	mu    sync.Mutex
	nodes map[string]*pipeliner // of a cluster, by address
}

func newTransport(rdb redis.UniversalClient) *transport {
	switch rdb := rdb.(type) {
	case *redis.Client:
		return &transport{single: &pipeliner{process: rdb.Process, prompt: promptHookOf(rdb, false), exec: execBy(rdb), confirmer: newConfirmer(rdb, nil)}}
	case *redis.ClusterClient:
		return &transport{cluster: rdb, nodes: make(map[string]*pipeliner)}
	}
	return &transport{single: &pipeliner{process: rdb.Process, confirmer: newConfirmer(rdb, nil)}}
}

// execBy returns a function that sends commands by one pipeline of the client. In a
// cluster, they are for one node unless their slots have moved since. go-redis has
// connections of their own for pipelines. A hold must not depend on a new
// connection, so a pipeline does not wait for one: each command is then sent by itself.
func execBy(rdb redis.UniversalClient) func(cmds []redis.Cmder) error {
	return func(cmds []redis.Cmder) error {
		ctx, cancel := withoutDeadline(connTimeout)
		defer cancel()
		pipe := rdb.Pipeline()
		for _, cmd := range cmds {
			_ = pipe.Process(ctx, cmd)
		}
		_, err := pipe.Exec(ctx)
		if ctx.Err() == nil {
			return err
		}
		for _, cmd := range cmds {
			if errors.Is(cmd.Err(), context.Canceled) {
				cmd.SetErr(errSendAlone)
			}
		}
		return nil
	}
}

// master returns the client for the node of the key in a cluster.
func (t *transport) master(ctx context.Context, key string) (node *redis.Client, err error) {
	ctx, cancel := withTimer(ctx)
	defer cancel()
	err = protect(func() (err error) { // the clients of nodes, which it may ask for the slots, may have hooks
		node, err = t.cluster.MasterForKey(ctx, key)
		return err
	})
	return node, err
}

// pipelinerFor returns the pipeliner for the server of the key.
func (t *transport) pipelinerFor(ctx context.Context, key string) (p *pipeliner, err error) {
	if t.cluster == nil {
		return t.single, nil
	}
	node, err := t.master(ctx, key)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	addr := node.Options().Addr
	if p = t.nodes[addr]; p == nil || p.node != node {
		p = &pipeliner{node: node, process: t.cluster.Process, prompt: promptHookOf(node, true), exec: execBy(t.cluster)}
		p.confirmer = newConfirmer(node, func() { t.cluster.ReloadState(context.Background()) })
		maps.DeleteFunc(t.nodes, func(_ string, other *pipeliner) bool { // go-redis has closed the client of a node that left
			return other.node.PoolStats().TotalConns == 0
		})
		t.nodes[addr] = p
	}
	return p, nil
}

// knowsNodes reports whether the client of a cluster has served a command.
func (t *transport) knowsNodes() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.nodes) > 0
}

// isPrompt reports whether the node of the key in a cluster is expected to reply within a millisecond.
func (t *transport) isPrompt(key string) bool {
	if !t.knowsNodes() { // the client may have to ask for the slots first, which takes longer
		return false
	}
	p, err := t.pipelinerFor(context.Background(), key)
	return err == nil && p.isPrompt()
}

// run is send for a reply that need not be prompt.
func (t *transport) run(ctx context.Context, s *script, keys, args []any) (val any, err error) {
	return t.send(ctx, s, keys, args, false)
}

// send sends the script by its hash, and whole if the server does not know it. A
// panic of the client becomes an error, so that the caller's state stays sound. For
// prompt see [pipeliner.send].
func (t *transport) send(ctx context.Context, s *script, keys, args []any, prompt bool) (val any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = retry.NewPanicError(v)
		}
	}()
	p, err := t.pipelinerFor(ctx, keys[0].(string))
	if err != nil {
		return nil, err
	}
	cmd := s.command(ctx, "evalsha", s.hash, keys, args)
	if err = p.send(ctx, cmd, prompt); wantsText(err) {
		cmd = s.command(ctx, "eval", s.text, keys, args)
		err = p.send(ctx, cmd, prompt)
	}
	if err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}

// protect calls f, which calls the client on a goroutine of ours, and turns a panic into an
// error: nobody could recover from it there.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = retry.NewPanicError(v)
		}
	}()
	return f()
}
