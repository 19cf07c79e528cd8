package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// connTimeout is for how long a pipeline waits for a connection, and after
// which a command without a reply is taken for a sign that its server is silent.
const connTimeout = 250 * time.Millisecond

// maxRenewing is how many pipelines of renewals a node is sent at the same time,
// besides those that got no reply for connTimeout.
const maxRenewing = 4

// aloneTimeout is for how long a renewal that is sent by itself waits for a connection,
// and follows redirections: go-redis would try a silent node of a cluster several times.
const aloneTimeout = 2 * time.Second

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

// node returns the pipeliner for the server of the key.
func (t *transport) node(ctx context.Context, key string) (p *pipeliner, err error) {
	if t.cluster == nil {
		return t.single, nil
	}
	var node *redis.Client
	err = protect(func() (err error) { // the clients of nodes, which it may ask for the slots, may have hooks
		node, err = t.cluster.MasterForKey(ctx, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	addr := node.Options().Addr
	if p = t.nodes[addr]; p == nil || p.node != node {
		p = &pipeliner{node: node, process: t.cluster.Process, prompt: promptHookOf(node, true), exec: execBy(t.cluster)}
		p.confirmer = newConfirmer(node, func() { t.cluster.ReloadState(context.Background()) })
		t.nodes[addr] = p
	}
	return p, nil
}

// isPrompt reports whether the node of the key in a cluster is expected to reply within a millisecond.
func (t *transport) isPrompt(key string) bool {
	t.mu.Lock()
	known := len(t.nodes) > 0
	t.mu.Unlock()
	if !known { // the client may have to ask for the slots first, which takes longer
		return false
	}
	p, err := t.node(context.Background(), key)
	return err == nil && p.isPrompt()
}

// run sends the script by its hash, and whole if the server does not know it. A
// panic of the client becomes an error, so that the caller's state stays sound.
func (t *transport) run(ctx context.Context, s *script, keys, args []any) (val any, err error) {
	return t.send(ctx, s, keys, args, false)
}

func (t *transport) send(ctx context.Context, s *script, keys, args []any, prompt bool) (val any, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = retry.NewPanicError(v)
		}
	}()
	node, err := t.node(ctx, keys[0].(string))
	if err != nil {
		return nil, err
	}
	cmd := s.command(ctx, "evalsha", s.hash, keys, args)
	if err = node.send(ctx, cmd, prompt); wantsText(err) {
		cmd = s.command(ctx, "eval", s.text, keys, args)
		err = node.send(ctx, cmd, prompt)
	}
	if err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}

// A renewal is a script that renews one hold.
type renewal struct {
	script  *script
	keys    []any
	args    []any
	confirm lease.Confirm
	begin   func() bool // called just before it is sent, which it is not if false is returned
	done    func(val any, err error)
}

// renew has the nodes of the renewals send them.
func (t *transport) renew(all []renewal) {
	type group struct {
		*pipeliner
		confirm bool
	}
	nodes := make(map[group][]renewal)
	for _, r := range all {
		node, err := t.node(context.Background(), r.keys[0].(string))
		if err == nil {
			to := group{node, r.confirm.Replicas > 0}
			nodes[to] = append(nodes[to], r)
		} else if r.begin() {
			r.done(nil, err)
		}
	}
	for node, due := range nodes {
		node.queueRenewals(due)
	}
}

// queueRenewals queues renewals, and has goroutines send what is queued.
func (p *pipeliner) queueRenewals(due []renewal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewals = append(p.renewals, due...)
	p.startRenewers()
}

// startRenewers has as many goroutines send the queued renewals as there are pipelines to
// send, but maxRenewing at most. The pipeliner is locked.
func (p *pipeliner) startRenewers() {
	for n := 0; n < len(p.renewals) && p.renewers < maxRenewing; n += maxBatch {
		p.renewers++
		go p.sendRenewals()
	}
}

// sendRenewals sends queued renewals, in pipelines of maxBatch, until there are none. What a pipeline holds
// is decided when it is sent. A pipeline that gets no reply in time is left behind, and another goroutine goes on.
func (p *pipeliner) sendRenewals() {
	for {
		p.mu.Lock()
		n := p.nextRenewals()
		chunk := p.renewals[:n:n]
		if p.renewals = p.renewals[n:]; n == 0 {
			p.renewals = nil // gives the memory back
			p.renewers--
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		stuck := time.AfterFunc(connTimeout, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.renewers--
			p.startRenewers()
		})
		p.renew(slices.DeleteFunc(chunk, func(r renewal) bool { return !r.begin() }))
		if !stuck.Stop() {
			return
		}
	}
}

// nextRenewals returns how many of the queued renewals the next pipeline has: those to be
// confirmed have pipelines of their own, because WAIT delays all replies. The pipeliner is locked.
func (p *pipeliner) nextRenewals() int {
	n := min(len(p.renewals), maxBatch)
	for i, r := range p.renewals[:n] {
		if (r.confirm.Replicas > 0) != (p.renewals[0].confirm.Replicas > 0) {
			return i
		}
	}
	return n
}

// renew sends the renewals in one pipeline, and in a second one those whose script
// the server did not know: it has just started, or has taken over a slot.
func (p *pipeliner) renew(chunk []renewal) {
	unknown := p.renewBy("evalsha", chunk)
	for _, r := range p.renewBy("eval", unknown) {
		r.done(nil, errNoReply) // cannot be: EVAL needs no known script
	}
}

// renewBy sends the renewals in one pipeline, and by itself a command that it could
// not serve, until the server is silent. It returns those whose script the server did not know.
func (p *pipeliner) renewBy(name string, chunk []renewal) (unknown []renewal) {
	cmds := make([]noRetryCmd, len(chunk))
	pipe := make([]redis.Cmder, len(chunk))
	for i, r := range chunk {
		body := r.script.hash
		if name == "eval" {
			body = r.script.text
		}
		cmds[i] = r.script.command(context.Background(), name, body, r.keys, r.args)
		pipe[i] = cmds[i]
	}
	if len(chunk) > 0 && chunk[0].confirm.Replicas > 0 {
		return p.confirm(name, cmds, chunk)
	}
	err := errSendAlone
	if p.exec != nil && len(chunk) > 1 {
		err = p.execute(pipe)
	}
	var silent error // of a command sent by itself
	for i, r := range chunk {
		err := batchedError(cmds[i], err)
		if err == errSendAlone {
			if err = silent; err == nil {
				sent := time.Now()
				if err = p.renewAlone(cmds[i]); err != nil && !isReply(err) && time.Since(sent) >= connTimeout {
					silent = err
				}
			}
		}
		if wantsText(err) {
			unknown = append(unknown, r)
			continue
		}
		r.done(cmds[i].Val(), err)
	}
	return unknown
}

// renewAlone sends a renewal by itself, and one at a time, so that one connection is enough.
func (p *pipeliner) renewAlone(cmd noRetryCmd) error {
	p.renewing.Lock()
	defer p.renewing.Unlock()
	ctx, cancel := withoutDeadline(aloneTimeout)
	defer cancel()
	return protect(func() error { return aloneError(cmd, p.process(ctx, cmd)) })
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
