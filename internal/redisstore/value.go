package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var (
	valueRead   = load("value_read.lua")
	valueWrite  = load("value_write.lua")
	valueDelete = load("value_delete.lua")
)

// ReadValue is [lease.ValueStore]'s.
func (s *Store) ReadValue(ctx context.Context, key string) (lease.ValueReply, error) {
	keys, err := buildKeys(key, []string{"value"})
	if err != nil {
		return lease.ValueReply{}, retry.Permanent(err)
	}
	requested := time.Now()
	val, err := s.transport.run(ctx, valueRead, keys, nil)
	if err != nil {
		return lease.ValueReply{}, classify(s.rdb, err)
	}
	r := replyReader{val: val}
	reply := r.value()
	if r.malformed {
		return lease.ValueReply{}, unexpectedReply(val)
	}
	reply.Requested = requested
	return reply, nil
}

func (r *replyReader) us() time.Time { return time.UnixMicro(nextValue[int64](r)) }

// decimal reads a number that may be too large for a script.
func (r *replyReader) decimal() int64 {
	n, err := strconv.ParseInt(nextValue[string](r), 10, 64)
	r.malformed = r.malformed || err != nil
	return n
}

// value reads the reply of value_read.lua.
func (r *replyReader) value() (reply lease.ValueReply) {
	reply.Now, reply.Holder, reply.HoldsFor, reply.Reset = r.us(), r.owner(), r.ms(), nextValue[string](r)
	if r.more() {
		reply.Value = &lease.Value{
			Fence: r.decimal(), Writer: r.owner(), WrittenAt: time.UnixMicro(r.decimal()), Remaining: r.ms(), Data: nextValue[string](r),
		}
	}
	return reply
}

// WriteValue is [lease.ValueStore]'s.
func (s *Store) WriteValue(ctx context.Context, w lease.ValueWrite) (lease.WriteOutcome, error) {
	prefix, suffix, err := keyParts(w.Key)
	if err != nil {
		return 0, retry.Permanent(err)
	}
	name, channel := prefix+"value"+suffix, ""
	if w.Notify {
		channel = name
	}
	val, err := s.transport.run(ctx, valueWrite, []any{w.Key, name},
		[]any{w.Token, w.Fence, w.TTL.Milliseconds(), w.Reset, w.Data, channel, w.Key})
	if err != nil {
		return 0, classify(s.rdb, ignoreWrongType(err))
	}
	n, err := parseInt(val)
	outcome := lease.WriteOutcome(n)
	if err == nil && (outcome < lease.ValueDeleted || outcome > lease.ValueStored) {
		err = unexpectedReply(val)
	}
	return outcome, err
}

// DeleteValue is [lease.ValueStore]'s.
func (s *Store) DeleteValue(ctx context.Context, key string) (existed bool, err error) {
	keys, err := buildKeys(key, []string{"value"})
	if err != nil {
		return false, retry.Permanent(err)
	}
	val, err := s.transport.run(ctx, valueDelete, keys, nil)
	if err != nil {
		return false, classify(s.rdb, err)
	}
	n, err := parseInt(val)
	return n == 1, err
}

// ValueChannel is [lease.ValueStore]'s.
func (s *Store) ValueChannel(key string) (string, error) {
	prefix, suffix, err := keyParts(key)
	return prefix + "value" + suffix, err
}
