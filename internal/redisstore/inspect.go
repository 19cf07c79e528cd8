package redisstore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var (
	inspect        = load("mutex_inspect.lua")
	permitsInspect = load("permits_inspect.lua")
	groupInspect   = load("waitgroup_inspect.lua")
	limiterInspect = load("limiter_inspect.lua")
)

// Inspect is [lease.Store]'s.
func (s *Store) Inspect(ctx context.Context, name lease.Name) (lease.Status, error) {
	keys, err := keysFor(name)
	if err != nil {
		return lease.Status{}, retry.Permanent(err)
	}
	if name.Kind == lease.Mutex {
		return inspectBy(ctx, s, inspect, keys, nil, (*replyReader).mutex)
	}
	return inspectBy(ctx, s, permitsInspect, keys, []any{string(name.Kind)}, (*replyReader).permits)
}

// InspectGroup is [taskgroup.Store]'s.
func (s *Store) InspectGroup(ctx context.Context, key string) (taskgroup.Status, error) {
	channel, err := s.DoneChannel(key)
	if err != nil {
		return taskgroup.Status{}, retry.Permanent(err)
	}
	return inspectBy(ctx, s, groupInspect, []any{key}, []any{channel, key}, (*replyReader).waitGroup)
}

// inspectBy runs a script and reads its reply.
func inspectBy[T any](ctx context.Context, s *Store, script *script, keys, args []any, read func(*replyReader) T) (status T, err error) {
	val, err := s.transport.run(ctx, script, keys, args)
	if err != nil {
		return status, classify(s.rdb, err)
	}
	r := replyReader{val: val}
	if got := read(&r); !r.malformed {
		return got, nil
	}
	return status, unexpectedReply(val)
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
		o = client.ParseOwner(token)
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

func (r *replyReader) waitGroup() (status taskgroup.Status) {
	status.Generation, status.Count, status.Abandoned, status.MoreTasks = nextValue[int64](r), nextValue[int64](r), nextValue[int64](r), nextValue[int64](r)
	for r.more() {
		status.Tasks = append(status.Tasks, taskgroup.TaskStatus{Owner: r.owner(), Remaining: r.ms()})
	}
	return status
}
