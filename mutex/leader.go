package mutex

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A Leader describes the leader of an election. The zero Leader means that nobody leads. It
// may be out of date when it is received.
type Leader struct {
	Value  string // the leader's [Election.Value]
	Number int64  // the number of its term
	Owner  Owner  // its process
	// Remaining is the time that was left when the request was made. A renewal extends the
	// term.
	Remaining time.Duration
}

// Leader returns the present leader. It makes one read-only request and does not retry while
// Redis is unreachable. It returns ErrNoLeader if nobody leads. A new leader is shown once its
// Value is stored, a moment after the mutex was granted.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	const op = "leader"
	if err := e.usable(op); err != nil {
		return Leader{}, err
	}
	r, err := retry.Do(ctx, op, e.key, false, func(ctx context.Context) (lease.ValueReply, error) {
		return e.store.ReadValue(ctx, e.key)
	})
	l := leaderOf(r)
	if err == nil && l.Number == 0 {
		err = retry.Wrap(op, e.key, ErrNoLeader)
	}
	return l, err
}

// leaderOf returns the leader that a reply shows.
func leaderOf(r lease.ValueReply) Leader {
	v := r.HolderValue()
	if v == nil {
		return Leader{}
	}
	return Leader{Value: v.Data, Number: v.Fence, Owner: Owner(v.Writer), Remaining: r.HoldsFor}
}

// Observe returns a channel that receives the present leader at first, and the new one after
// each change. If nobody leads, it receives the zero Leader. The channel is closed when ctx is
// done:
//
//	for l := range e.Observe(ctx) {
//		connect(l.Value)
//	}
//
// A slow receiver gets the latest leader and misses those in between. It never receives an
// older term after a newer one. The death of a leader is reported within TTL plus 1.2 s.
//
// All observers of a key in a process share one goroutine, one request about once a second,
// and one message for each change. While Redis is unreachable the channel receives nothing,
// because the leader may still lead. A permanent error, such as missing ACL permissions,
// closes the channel. Call [Election.Leader] to get the error.
func (e *Election) Observe(ctx context.Context) <-chan Leader {
	o := &observer{ch: make(chan Leader, 1), sent: -1, received: -1}
	if e.usable("observe") != nil {
		close(o.ch)
	} else {
		p := e.params()
		e.store.Manager().ObserveValue(ctx, e.store, &p, o)
	}
	return o.ch
}

// An observer is the [lease.ValueHandler] of one channel. Its calls come one at a time.
type observer struct {
	ch             chan Leader // capacity 1: the latest
	sent, received int64       // the numbers of the terms that were last sent and received, or -1
}

func (o *observer) HandleValue(r lease.ValueReply) {
	l := leaderOf(r)
	o.takeBack()
	if o.sent = l.Number; o.sent != o.received {
		o.ch <- l
	}
}

// takeBack empties the channel, or notes that what was sent has been received.
func (o *observer) takeBack() {
	select {
	case <-o.ch:
	default:
		o.received = o.sent
	}
}

func (o *observer) Close() {
	o.takeBack()
	close(o.ch)
}
