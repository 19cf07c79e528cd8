package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A confirmer sends renewals that count only if replicas have received them. Each of its
// pipelines ends with WAIT, which counts the replicas that have all that its own connection has
// written. So a pipeline goes to one server, and follows no redirection.
type confirmer struct {
	client   interface{ Pipeline() redis.Pipeliner }
	timeout  time.Duration // the longest for WAIT; 0 for no limit
	moved    func()        // called after a redirection; may be nil
	replicas atomic.Int64  // as many as were connected when last asked
}

// newConfirmer returns the confirmer of a server, or nil if commands of the client may go to several.
func newConfirmer(rdb redis.UniversalClient, moved func()) *confirmer {
	base, _ := embedded(reflect.ValueOf(rdb))
	client, ok := base.(*redis.Client)
	if !ok {
		return nil
	}
	// WAIT has half of the time after which go-redis gives up a reply.
	return &confirmer{client: rdb, timeout: max(client.Options().ReadTimeout/2, 0), moved: moved}
}

var (
	errNoConfirmer = retry.Permanent(errors.New("the client is a wrapper that may send commands to several servers: " +
		"Replicas needs a redis.Client or a redis.ClusterClient"))
	errNoConnection = errors.New("no connection is free")
)

// An acknowledgment is the reply to one WAIT.
type acknowledgment struct {
	asked, acked int64 // replicas
	connected    int64 // replicas of the server; 0 if nobody needs to know
}

var connectedReplicas = regexp.MustCompile(`\bconnected_slaves:(\d+)`)

// confirm sends the renewals' commands in one pipeline with WAIT. It returns the renewals whose
// script the server did not know.
func (p *pipeliner) confirm(name string, cmds []noRetryCmd, chunk []renewal) (unknown []renewal) {
	var again []renewal
	a, sendErr, waitErr := p.confirmer.send(cmds, chunk)
	for i, r := range chunk {
		need := int64(r.confirm.Replicas)
		if r.confirm.All() {
			need = max(a.connected, 1)
		}
		switch err := batchedError(cmds[i], sendErr); {
		case wantsText(err):
			unknown = append(unknown, r)
		case err != nil:
			if p.confirmer != nil && p.confirmer.moved != nil && isReply(err) {
				p.confirmer.moved()
			}
			r.done(nil, err)
		case waitErr != nil:
			r.done(nil, waitErr)
		case a.acked >= need:
			r.done(cmds[i].Val(), nil)
		case r.confirm.All() && a.acked >= a.asked: // WAIT was asked for fewer than there are
			again = append(again, r)
		default:
			r.done(nil, fmt.Errorf("%w: %d of %d", lease.ErrUnconfirmed, a.acked, need))
		}
	}
	if len(again) > 0 {
		unknown = append(unknown, p.renewBy(name, again)...)
	}
	return unknown
}

// send sends the commands, and WAIT for as many replicas as the largest of the renewals needs.
// A panic of the client becomes an error.
func (c *confirmer) send(cmds []noRetryCmd, chunk []renewal) (a acknowledgment, sendErr, waitErr error) {
	if c == nil {
		return a, errNoConfirmer, nil
	}
	defer func() {
		if v := recover(); v != nil {
			sendErr = retry.NewPanicError(v)
		}
	}()
	var timeout time.Duration
	all := false
	for _, r := range chunk {
		timeout = max(timeout, r.confirm.Timeout())
		if r.confirm.All() {
			all, a.asked = true, max(a.asked, c.replicas.Load(), 1)
		} else {
			a.asked = max(a.asked, int64(r.confirm.Replicas))
		}
	}
	if c.timeout > 0 {
		timeout = max(min(timeout, c.timeout), time.Millisecond) // 0 would be no limit
	}
	ctx, cancel := withoutDeadline(connTimeout)
	defer cancel()
	wait := noRetryCmd{redis.NewCmd(ctx, "wait", a.asked, timeout.Milliseconds())}
	info := noRetryCmd{redis.NewCmd(ctx, "info", "replication")}
	pipe := c.client.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd)
	}
	_ = pipe.Process(ctx, wait)
	if all {
		_ = pipe.Process(ctx, info)
	}
	if _, sendErr = pipe.Exec(ctx); errors.Is(wait.Err(), context.Canceled) {
		for _, cmd := range cmds {
			cmd.SetErr(errNoConnection)
		}
		return a, errNoConnection, nil
	}
	if waitErr = batchedError(wait, sendErr); waitErr != nil {
		return a, sendErr, fmt.Errorf("%w (Replicas needs the command WAIT)", waitErr)
	}
	a.acked, _ = wait.Int64()
	if all {
		text, err := info.Text()
		found := connectedReplicas.FindStringSubmatch(text)
		if found == nil {
			return a, sendErr, fmt.Errorf("%w (AllReplicas needs the command INFO; a fixed number of replicas does not)", cmp.Or(err, errNoReply))
		}
		a.connected, _ = strconv.ParseInt(found[1], 10, 64)
		c.replicas.Store(a.connected)
	}
	return a, sendErr, nil
}
