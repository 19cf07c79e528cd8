package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// headway is how long a command may be held back for each convoy that is under way:
// the first of them for about as long as a request takes in a local network. Where
// requests take longer there are several under way, and one that gets no answer keeps
// nobody back for long.
const headway = 100 * time.Microsecond

// longest is how many commands go together at most, so that the first of many thousands
// need not wait for the last.
const longest = 128

// A convoy is the road of a client's commands to its server. A command that finds it
// free goes at once, by itself, on its caller's goroutine. Those that come while it is
// under way go together, in one pipeline, once it has returned or is long about it. So
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
	turn chan bool // yields true if it is to lead the next convoy, false once it has been executed
}

// Process has the server execute the command.
func (v *convoy) Process(ctx context.Context, cmd redis.Cmder) error {
	if _, bounded := ctx.Deadline(); bounded && v.heeds { // it may end sooner than others can wait for
		return v.rdb.Process(ctx, cmd)
	}
	v.mu.Lock()
	if v.held(time.Now()) > 0 {
		p := &passenger{cmd, make(chan bool, 1)}
		v.queued = append(v.queued, p)
		v.mu.Unlock()
		return v.follow(ctx, p)
	}
	return v.lead(ctx, cmd)
}

// held is for how long a command is to be held back.
func (v *convoy) held(now time.Time) time.Duration {
	return time.Duration(v.gone)*headway - now.Sub(v.left)
}

// follow waits for a passenger's turn, and leads if it takes too long.
func (v *convoy) follow(ctx context.Context, p *passenger) error {
	timer := time.NewTimer(headway)
	defer timer.Stop()
	for {
		select {
		case lead := <-p.turn:
			if !lead {
				return p.Err()
			}
			v.mu.Lock()
			return v.lead(ctx, p.Cmder)
		case <-timer.C:
		}
		v.mu.Lock()
		i := slices.Index(v.queued, p)
		held := v.held(time.Now())
		if i >= 0 && held <= 0 {
			v.queued = slices.Delete(v.queued, i, i+1)
			return v.lead(ctx, p.Cmder)
		}
		v.mu.Unlock()
		timer.Reset(max(held, headway))
	}
}

// lead goes, and takes along who is queued. It is called with the mutex held.
func (v *convoy) lead(ctx context.Context, cmd redis.Cmder) error {
	n := min(len(v.queued), longest-1)
	along := v.queued[:n:n]
	v.queued = v.queued[n:]
	v.gone++
	v.left = time.Now()
	v.mu.Unlock()

	if len(along) == 0 {
		_ = v.rdb.Process(ctx, cmd)
	} else {
		pipe := v.rdb.Pipeline()
		_ = pipe.Process(ctx, cmd)
		for _, p := range along {
			_ = pipe.Process(ctx, p.Cmder)
		}
		_, _ = pipe.Exec(context.WithoutCancel(ctx)) // each command has its own error
		for _, p := range along {
			p.turn <- false
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone--
	if len(v.queued) > 0 && v.held(time.Now()) <= 0 {
		v.queued[0].turn <- true
		v.queued = v.queued[1:]
	}
	return cmd.Err()
}
