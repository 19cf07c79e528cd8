package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// freely is how many convoys are under way at a time before a command is held back. Of a
// few goroutines each is better off with a connection of its own than with its share of
// one.
const freely = 4

// headway is how long a command may be held back for each convoy more that is under way:
// less than a request takes in a local network. Where requests take longer
// there are more under way, and some that get no answer keep nobody back for long.
const headway = 50 * time.Microsecond

// longest is how many commands go together at most, so that the first of many thousands
// need not wait for the last.
const longest = 128

// A convoy is the road of a client's commands to its server. A command that finds it
// free goes at once, by itself, on its caller's goroutine. Those that come while several are
// under way go together, in one pipeline, once one has returned or they are long about it. So
// the more is asked for, the more goes at a time, and the less a command costs: its share
// of a system call, on either side, and of a wake-up.
//
// It is for a single server. In a cluster, commands for a node that is well would wait
// for a node that is not.
type convoy struct {
	rdb   *redis.Client
	heeds bool // commands under way heed their ctx

	mu     sync.Mutex
	gone   int       // under way
	left   time.Time // when the last of them left
	queued []*passenger
}

// A passenger is a command that is to go with others.
type passenger struct {
	redis.Cmder
	ctx  context.Context
	sign chan sign
}

type sign uint8

const (
	first    sign = iota // it is the first that is queued, and sees to it that all go in time
	leads                // it leads the next convoy
	executed             // it has been taken along
)

// Process has the server execute the command.
func (v *convoy) Process(ctx context.Context, cmd redis.Cmder) error {
	if _, bounded := ctx.Deadline(); bounded && v.heeds { // it may end sooner than others can wait for
		return v.rdb.Process(ctx, cmd)
	}
	v.mu.Lock()
	if v.held(time.Now()) > 0 {
		p := &passenger{cmd, ctx, make(chan sign, 2)}
		v.queued = append(v.queued, p)
		v.appoint(len(v.queued) == 1)
		v.mu.Unlock()
		return v.follow(p)
	}
	return v.lead(ctx, cmd)
}

// appoint tells the first that is queued, if there is a new one, that it is.
func (v *convoy) appoint(anew bool) {
	if anew && len(v.queued) > 0 {
		v.queued[0].sign <- first
	}
}

// held is for how long a command is to be held back.
func (v *convoy) held(now time.Time) time.Duration {
	return time.Duration(max(0, v.gone+1-freely))*headway - now.Sub(v.left)
}

// follow waits until a passenger has been taken along, or leads.
func (v *convoy) follow(p *passenger) error {
	timer := new(time.Timer)
	for {
		select {
		case sign := <-p.sign:
			switch sign {
			case executed:
				return p.Err()
			case leads:
				v.mu.Lock()
				return v.lead(p.ctx, p.Cmder)
			}
			timer = time.NewTimer(headway)
			defer timer.Stop()
		case <-timer.C:
			v.mu.Lock()
			if len(v.queued) > 0 && v.queued[0] == p { // else it is about to be told
				held := v.held(time.Now())
				if held <= 0 {
					v.queued = v.queued[1:]
					return v.lead(p.ctx, p.Cmder)
				}
				timer.Reset(held)
			}
			v.mu.Unlock()
		}
	}
}

// lead goes, and takes along who is queued. It is called with the mutex held.
func (v *convoy) lead(ctx context.Context, cmd redis.Cmder) error {
	n := min(len(v.queued), longest-1)
	along := v.queued[:n:n]
	v.queued = v.queued[n:]
	v.appoint(n > 0)
	v.gone++
	v.left = time.Now()
	v.mu.Unlock()

	if len(along) == 0 {
		_ = v.rdb.Process(ctx, cmd)
	} else {
		v.together(append([]*passenger{{Cmder: cmd, ctx: ctx}}, along...))
		for _, p := range along {
			p.sign <- executed
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone--
	if len(v.queued) > 0 && v.held(time.Now()) <= 0 {
		v.queued[0].sign <- leads
		v.queued = v.queued[1:]
	}
	return cmd.Err()
}

// together sends commands in one pipeline. That waits for a connection no longer than any
// of them would by itself: what is still to be released must not wait for as long as
// the pool allows. The others are told what it then was for them, and are sent again.
func (v *convoy) together(all []*passenger) {
	ctx, until := context.WithoutCancel(all[0].ctx), time.Time{}
	pipe := v.rdb.Pipeline()
	for _, p := range all {
		_ = pipe.Process(ctx, p.Cmder)
		if d, ok := p.ctx.Deadline(); ok && (until.IsZero() || d.Before(until)) {
			until = d
		}
	}
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, p := range all {
		if d, ok := p.ctx.Deadline(); (!ok || d.After(until)) && errors.Is(p.Err(), context.DeadlineExceeded) {
			p.SetErr(redis.ErrPoolTimeout)
		}
	}
}
