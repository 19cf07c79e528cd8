package redisstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// A reply that no script sends is an unknown error, and is not parsed as a grant, a loss or zeros.
func TestUnexpectedReply(t *testing.T) {
	ctx, one := t.Context(), int64(1)
	acquire := func(name lease.Name, reader *lease.ValueReader) func(*Store) (bool, error) {
		return func(s *Store) (bool, error) {
			reply, err := s.Acquire(ctx, lease.Request{Name: name, Token: a, Seq: 1, Want: 1, Value: reader})
			return reply.Granted || reply.Found || reply.Lost, err
		}
	}
	write := lease.ValueWrite{Key: "key", Token: a}
	for what, row := range map[string]struct {
		do   func(s *Store) (bool, error)
		more []any
	}{
		"acquire":         {acquire(mutexAt("key"), nil), []any{one}}, // below all fences
		"acquire permits": {acquire(semaphoreAt("key"), nil), []any{[]any{int64(2), one, one, one, one}}},
		"acquire a value": {acquire(mutexAt("key"), new(lease.ValueReader)), []any{[]any{one << 50, one, one, one, one, "", one, "", one, one, one, one, one}}},
		"release":         {func(s *Store) (bool, error) { return s.Release(ctx, semaphoreAt("key"), a) }, []any{int64(4)}},
		"renew": {func(s *Store) (bool, error) {
			r := renewAll(s, []lease.Renewal{{Name: mutexAt("key"), Token: a, TTL: lockTTL}})[0]
			return r.Held, r.Err
		}, nil},
		"update": {func(s *Store) (bool, error) {
			_, err := s.UpdateGroup(ctx, taskgroup.Operation{Key: "key", Session: "s", Seq: 1, Op: taskgroup.OpAdd})
			return false, err
		}, []any{[]any{int64(3), one}}},
		"status": {func(s *Store) (bool, error) {
			r, err := s.GroupStatus(ctx, "key", 0)
			return r.Number != 0 || r.Abandoned != nil, err
		},
			[]any{[]any{one, one, one, one, []any{one}}, []any{one, one, one, one, []any{one, ""}}, []any{one, one, one, one, one}}},
		"take": {func(s *Store) (bool, error) {
			r, err := s.Take(ctx, ratelimit.Reservation{Key: "key", N: 1})
			return r.Taken, err
		}, nil},
		"refund": {func(s *Store) (bool, error) { return false, s.Refund(ctx, ratelimit.Reservation{Key: "key", ID: "id"}) }, nil},
		"read":   {func(s *Store) (bool, error) { r, err := s.ReadValue(ctx, "key"); return r.Value != nil, err }, []any{[]any{one, "", one, one}}},
		"write":  {func(s *Store) (bool, error) { r, err := s.WriteValue(ctx, write); return r == lease.ValueStored, err }, []any{int64(2)}},
		"release value": {func(s *Store) (bool, error) {
			r, _, err := s.ReleaseValue(ctx, write)
			return r == lease.ValueStored, err
		}, []any{[]any{one, int64(4)}}},
		"delete": {func(s *Store) (bool, error) { return s.DeleteValue(ctx, "key") }, nil},
	} {
		for _, reply := range append(row.more, nil, "OK", []any{}, []any{one}, []any{one, ""}, []any{one, one, one}, []any{one, one, one, "", one}) {
			rdb := newClient(t)
			set := func(cmd redis.Cmder) { cmd.(noRetryCmd).SetVal(reply) }
			rdb.AddHook(redistest.Hook{
				Process: func(_ context.Context, cmd redis.Cmder, _ redis.ProcessHook) error { set(cmd); return nil },
				Pipeline: func(_ context.Context, cmds []redis.Cmder, _ redis.ProcessPipelineHook) error {
					set(cmds[0])
					return nil
				},
			})
			result, err := row.do(NewStore(rdb))
			expect(t, fmt.Sprintf("%s with the reply %v", what, reply), err, "unknown", "")
			equal(t, fmt.Sprintf("the result of %s with the reply %v", what, reply), result, false)
		}
	}
}
