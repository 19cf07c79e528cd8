package redisstore

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// maxRenewing is how many pipelines of renewals a node is sent at the same time,
// besides those that got no reply for connTimeout.
const maxRenewing = 4

// aloneTimeout is for how long a renewal that is sent by itself waits for a connection,
// and follows redirections: go-redis would try a silent node of a cluster several times.
const aloneTimeout = 2 * time.Second

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
	groups := make(map[group][]renewal)
	for _, r := range all {
		p, err := t.pipelinerFor(context.Background(), r.keys[0].(string))
		if err == nil {
			to := group{p, r.confirm.Replicas > 0}
			groups[to] = append(groups[to], r)
		} else if r.begin() {
			r.done(nil, err)
		}
	}
	for to, due := range groups {
		to.queueRenewals(due)
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
		p.renewals = p.renewals[n:]
		if n == 0 {
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
