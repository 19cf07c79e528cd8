package redisstore

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var (
	valueRead    = load("value_read.lua")
	valueWrite   = load("value_write.lua")
	valueDelete  = load("value_delete.lua")
	valueAcquire = load("value_acquire.lua")
	valueRelease = load("value_release.lua")
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
	reply := lease.ValueReply{Now: r.us(), Holder: r.owner(), HoldsFor: r.ms(), Reset: nextValue[string](&r), Value: r.value(), Requested: requested}
	if r.malformed {
		return lease.ValueReply{}, unexpectedReply(val)
	}
	return reply, nil
}

func (r *replyReader) us() time.Time { return time.UnixMicro(nextValue[int64](r)) }

// decimal reads a number that may be too large for a script. The largest int64 stands for
// a larger one.
func (r *replyReader) decimal() int64 {
	n, err := strconv.ParseInt(nextValue[string](r), 10, 64)
	r.malformed = r.malformed || errors.Is(err, strconv.ErrSyntax)
	return n
}

// value reads a value, if the reply has one.
func (r *replyReader) value() *lease.Value {
	if !r.more() {
		return nil
	}
	v := &lease.Value{Fence: r.decimal(), Writer: r.owner(), WrittenAt: time.UnixMicro(r.decimal()), Remaining: r.ms()}
	if until := r.decimal(); until < 0 {
		v.Fresh = math.MaxInt64
	} else {
		v.Fresh = time.UnixMicro(until).Sub(v.WrittenAt)
	}
	v.Stale = time.Duration(min(r.decimal(), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	v.Data = nextValue[string](r)
	return v
}

// WriteValue is [lease.ValueStore]'s.
func (s *Store) WriteValue(ctx context.Context, w lease.ValueWrite) (lease.WriteOutcome, error) {
	keys, err := buildKeys(w.Key, []string{"value"})
	if err != nil {
		return 0, retry.Permanent(err)
	}
	val, err := s.transport.run(ctx, valueWrite, keys, writeArgs(w, s.publishedOn(keys[1])))
	if err != nil {
		return 0, classify(s.rdb, ignoreWrongType(err))
	}
	return parseOutcome(val)
}

// ReleaseValue is [lease.ValueStore]'s.
func (s *Store) ReleaseValue(ctx context.Context, w lease.ValueWrite) (outcome lease.WriteOutcome, owned bool, err error) {
	keys, err := valueKeys(w.Key)
	if err != nil {
		return 0, false, retry.Permanent(err)
	}
	val, err := s.transport.run(ctx, valueRelease, keys, append(writeArgs(w, s.publishedOn(keys[4])), oneIf(w.Useful)))
	if err != nil {
		return 0, false, classify(s.rdb, ignoreWrongType(err))
	}
	n, err := parseInts(val, 2)
	if err != nil {
		return 0, false, err
	}
	owned, more, err := parseReleaseReply(n[1])
	if more {
		s.repeatRelease(ctx, mutexRelease, keys[:4], []any{w.Token})
	}
	if err == nil {
		outcome, err = parseOutcome(n[0])
	}
	return outcome, owned || outcome == lease.ValueStored, err
}

// writeArgs returns ARGV of lib/value.lua.
func writeArgs(w lease.ValueWrite, channel any) []any {
	if !w.Notify {
		channel = ""
	}
	var since int64
	if !w.FreshSince.IsZero() {
		since = w.FreshSince.UnixMicro()
	}
	fresh := w.Fresh.Milliseconds()
	if w.Fresh < 0 {
		fresh = -1
	}
	return []any{w.Token, w.Fence, w.TTL.Milliseconds(), w.Reset, w.Data, channel, w.Key, w.Kind, since, fresh, w.Stale.Milliseconds()}
}

func parseOutcome(val any) (lease.WriteOutcome, error) {
	n, err := parseInt(val)
	outcome := lease.WriteOutcome(n)
	if err == nil && (outcome < lease.ValueDeleted || outcome > lease.ValueStored) {
		err = unexpectedReply(val)
	}
	return outcome, err
}

// valueKeys returns the keys of a mutex, and that of the value.
func valueKeys(key string) ([]any, error) {
	return buildKeys(key, []string{"queue", "waiters", "fence", "value"})
}

// acquireValue is Acquire for a request that also reads the value.
func (s *Store) acquireValue(ctx context.Context, r lease.Request) (lease.Reply, error) {
	keys, err := valueKeys(r.Key)
	if err != nil {
		return lease.Reply{}, retry.Permanent(err)
	}
	since, stale := r.Value.Wants()
	_, args := acquireMutex(nil, r)
	for len(args) < 6 { // it does not queue
		args = append(args, "")
	}
	val, err := s.transport.send(ctx, valueAcquire, keys, append(args, since, oneIf(stale)), r.Prompt)
	if err != nil {
		return lease.Reply{}, classify(s.rdb, err)
	}
	rd := replyReader{val: val}
	base, left, owner, found := nextValue[int64](&rd), nextValue[int64](&rd), nextValue[int64](&rd), nextValue[int64](&rd)
	var acquired any = base
	if base == 0 {
		acquired = []any{left, owner}
	}
	reply, err := mutexReply(acquired)
	value := lease.ValueReply{Now: rd.us(), Reset: nextValue[string](&rd), Value: rd.value()}
	if rd.malformed || err != nil || found>>1 != 0 || found == 1 && value.Value == nil {
		return lease.Reply{}, unexpectedReply(val)
	}
	reply.Found = found == 1
	r.Value.Note(value, reply.FenceBase, reply.Found)
	return reply, nil
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
