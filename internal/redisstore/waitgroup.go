package redisstore

import (
	"context"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var (
	groupUpdate = load("waitgroup_update.lua")
	groupStatus = load("waitgroup_status.lua")
	groupRenew  = load("waitgroup_renew.lua")
)

// UpdateGroup is [taskgroup.Store]'s.
func (s *Store) UpdateGroup(ctx context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
	prefix, suffix, err := keyParts(c.Key)
	if err != nil {
		return taskgroup.UpdateReply{}, retry.Permanent(err)
	}
	var arg any = c.Token
	switch c.Op {
	case taskgroup.OpAdd:
		arg = c.Delta
	case taskgroup.OpUndo:
		arg = "-"
	}
	val, err := s.transport.run(ctx, groupUpdate, []any{c.Key, prefix + "ops:" + c.Session + suffix},
		[]any{s.publishedOn(prefix + "done" + suffix), c.Key, c.Seq, c.AckedThrough, string(c.Op), arg, c.TTL.Milliseconds()})
	if err != nil {
		return taskgroup.UpdateReply{}, classify(s.rdb, err)
	}
	n, err := parseInts(val, 2)
	if outcome := taskgroup.Outcome(n[0]); err == nil && (outcome < taskgroup.Superseded || outcome > taskgroup.TaskAbandoned) {
		err = unexpectedReply(val)
	}
	return taskgroup.UpdateReply{Outcome: taskgroup.Outcome(n[0]), Found: n[1]}, err
}

// GroupStatus is [taskgroup.Store]'s. One script ends a batch of dead
// tasks, so GroupStatus repeats the script until none is left.
func (s *Store) GroupStatus(ctx context.Context, key string, from int64) (taskgroup.Generation, error) {
	channel, err := s.DoneChannel(key)
	if err != nil {
		return taskgroup.Generation{}, retry.Permanent(err)
	}
	for step := 1; ; step++ {
		val, err := s.transport.run(ctx, groupStatus, []any{key}, []any{s.publishedOn(channel), key, from})
		if err != nil {
			return taskgroup.Generation{}, classify(s.rdb, err)
		}
		if r, more, err := parseGeneration(val); !more || step == maxSteps {
			return r, err
		}
	}
}

// parseGeneration reads the reply of waitgroup_status.lua.
func parseGeneration(val any) (r taskgroup.Generation, more bool, err error) {
	tuple, _ := val.([]any)
	if len(tuple) != 5 {
		return r, false, unexpectedReply(val)
	}
	lost, ok := tuple[4].([]any)
	n, err := parseInts(tuple[:4], 4)
	if err != nil || !ok || len(lost)%2 != 0 {
		return r, false, unexpectedReply(val)
	}
	r = taskgroup.Generation{Number: n[0], Remaining: n[1], OldestKnown: n[2]}
	for ; len(lost) > 0; lost = lost[2:] {
		n, err := parseInts(lost[:2], 2) // a generation, and how many tasks it lost
		if err != nil {
			return taskgroup.Generation{}, false, unexpectedReply(val)
		}
		if r.Abandoned == nil {
			r.Abandoned = make(map[int64]int64)
		}
		r.Abandoned[n[0]] = n[1]
	}
	return r, n[3] != 0, nil
}

// DoneChannel is [taskgroup.Store]'s.
func (s *Store) DoneChannel(key string) (string, error) {
	prefix, suffix, err := keyParts(key)
	return prefix + "done" + suffix, err
}
