package redisstore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var (
	inspect        = load("mutex_inspect.lua")
	permitsInspect = load("permits_inspect.lua")
	groupInspect   = load("waitgroup_inspect.lua")
	limiterInspect = load("limiter_inspect.lua")
)

// Inspect is [lease.Inspector]'s.
func (s *Store) Inspect(ctx context.Context, name lease.Name) (lease.Status, error) {
	var keys, args []any
	var err error
	var channel string
	script := inspect
	switch name.Kind {
	case lease.WaitGroup:
		script, keys = groupInspect, []any{name.Key}
		channel, err = s.DoneChannel(name.Key)
		args = []any{channel, name.Key}
	case lease.Mutex:
		keys, err = keysFor(name)
	default:
		script, args = permitsInspect, []any{string(name.Kind)}
		keys, err = keysFor(name)
	}
	if err != nil {
		return lease.Status{}, retry.Permanent(err)
	}
	val, err := s.transport.run(ctx, script, keys, args)
	if err != nil {
		return lease.Status{}, classify(s.rdb, err)
	}
	r := replyReader{val: val}
	var status lease.Status
	switch name.Kind {
	case lease.WaitGroup:
		status = r.waitGroup()
	case lease.Mutex:
		status = r.mutex()
	default:
		status = r.permits()
	}
	if r.malformed {
		return lease.Status{}, unexpectedReply(val)
	}
	return status, nil
}

// replyReader reads the values of a reply one after another.
type replyReader struct {
	val       any
	pos       int
	malformed bool // a value was missing or had another type
}

func (r *replyReader) more() bool {
	tuple, _ := r.val.([]any)
	return r.pos < len(tuple)
}

func nextValue[T any](r *replyReader) (v T) {
	if tuple, _ := r.val.([]any); r.pos < len(tuple) {
		var ok bool
		if v, ok = tuple[r.pos].(T); ok {
			r.pos++
			return v
		}
	}
	r.malformed, r.pos = true, r.pos+1
	return v
}

func (r *replyReader) ms() time.Duration {
	return time.Duration(nextValue[int64](r)) * time.Millisecond
}

func (r *replyReader) owner() (o lease.Owner) {
	if token := nextValue[string](r); token != "" {
		o = lease.ParseOwner(token)
	}
	return o
}

func (r *replyReader) mutex() (status lease.Status) {
	h := lease.Holder{Owner: r.owner(), Weight: 1, Remaining: r.ms()}
	status.Fence = nextValue[int64](r) * lease.FencesPerGrant
	status.Waiters = int(nextValue[int64](r))
	for r.more() {
		status.Queue = append(status.Queue, lease.Waiter{Owner: r.owner(), Weight: 1})
	}
	if h.Token != "" {
		h.Fence = status.Fence
		status.Holders = []lease.Holder{h}
	}
	return status
}

func (r *replyReader) permits() (status lease.Status) {
	status.Size, status.Used, status.Fence = nextValue[int64](r), nextValue[int64](r), nextValue[int64](r)*lease.FencesPerGrant
	status.Waiters, status.MoreHolders = int(nextValue[int64](r)), nextValue[int64](r)
	for n := nextValue[int64](r); n > 0 && r.more(); n-- {
		status.Queue = append(status.Queue, lease.Waiter{Owner: r.owner(), Weight: nextValue[int64](r), Shared: nextValue[int64](r) == 1})
	}
	for r.more() {
		status.Holders = append(status.Holders, lease.Holder{
			Owner: r.owner(), Weight: nextValue[int64](r), Remaining: r.ms(), Fence: nextValue[int64](r) * lease.FencesPerGrant, Shared: nextValue[int64](r) == 1,
		})
	}
	return status
}

func (r *replyReader) waitGroup() (status lease.Status) {
	status.Generation, status.Count, status.Abandoned, status.MoreHolders = nextValue[int64](r), nextValue[int64](r), nextValue[int64](r), nextValue[int64](r)
	for r.more() {
		status.Holders = append(status.Holders, lease.Holder{Owner: r.owner(), Weight: 1, Remaining: r.ms()})
	}
	return status
}
