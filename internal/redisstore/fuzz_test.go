package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// FuzzMessage parses payloads that any client may publish. A parsed hand-over must be the same after
// formatting and parsing it again.
func FuzzMessage(f *testing.F) {
	for _, key := range append(odd[:20:20], "") {
		f.Add("m 1 0 1753862400123456 1 0 " + a + " " + key)
		f.Add("w 1753862400123456 0 0 2 0 - " + key)
	}
	for _, text := range []string{"", " ", "m", "mm 1 2 3 4 0 t k", "m 1 2 3 4 0 t", "m -1 +2 03 4 2  k", "m 1 2 3 9223372036854775808 0 t k", "\xff 1 2 3 4 1 t k"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		h, ok := parseMessage(payload)
		if !ok {
			if h != (lease.Handover{}) {
				t.Errorf("%q is refused, and parsed as %v", payload, h)
			}
			return
		}
		if !strings.HasSuffix(payload, " "+h.Token+" "+h.Key) || strings.Contains(h.Token, " ") {
			t.Errorf("%q: token %q, key %q", payload, h.Token, h.Key)
		}
		contended := 0
		if h.Contended {
			contended = 1
		}
		text := string([]byte{byte(h.Kind)}) + fmt.Sprintf(" %d %d %d %d %d ", h.Seq, h.WantSeq, h.FenceBase, h.Weight, contended) + h.Token + " " + h.Key
		if again, ok := parseMessage(text); !ok || again != h {
			t.Errorf("%q is parsed as %v, and %q as %v", payload, h, text, again)
		}
	})
}

// FuzzLockOrder sorts keys. Each key must appear once, next to the keys of its slot, and the result must
// not depend on the original order.
func FuzzLockOrder(f *testing.F) {
	f.Add("a\nb\na")
	f.Add(strings.Join(odd[:20], "\n"))
	f.Add("{x}a\nb\n{x}b\nx\n{x\n}x")
	f.Fuzz(func(t *testing.T, text string) {
		keys := strings.Split(text, "\n")
		sorted := LockOrder(keys)
		slices.Reverse(keys)
		if again := LockOrder(keys); !slices.Equal(sorted, again) {
			t.Errorf("%q and %q", sorted, again)
		}
		slices.Sort(keys)
		all := slices.Sorted(slices.Values(sorted))
		if keys = slices.Compact(keys); !slices.Equal(keys, all) {
			t.Errorf("%q are sorted as %q", keys, all)
		}
		if !slices.IsSortedFunc(sorted, func(a, b string) int { return int(slot(a)) - int(slot(b)) }) {
			t.Errorf("%q are not sorted by slot", sorted)
		}
	})
}

// replies returns a hook that replies to every command with val.
func replies(val any) redis.Hook {
	return redistest.Hook{
		Process: func(_ context.Context, cmd redis.Cmder, _ redis.ProcessHook) error { return setReply(cmd, val) },
		Pipeline: func(_ context.Context, cmds []redis.Cmder, _ redis.ProcessPipelineHook) (err error) {
			for _, cmd := range cmds {
				err = errors.Join(err, setReply(cmd, val))
			}
			return err
		},
	}
}

func setReply(cmd redis.Cmder, val any) error {
	if err, ok := val.(error); ok {
		cmd.SetErr(err)
		return err
	}
	cmd.(noRetryCmd).SetVal(val)
	return nil
}

// value decodes a reply from data, and returns the rest of the data.
func value(data []byte, depth int) (val any, rest []byte) {
	if len(data) == 0 {
		return nil, nil
	}
	kind, data := data[0], data[1:]
	switch {
	case kind < 8 && depth < 3:
		list := make([]any, kind)
		for i := range list {
			list[i], data = value(data, depth+1)
		}
		return list, data
	case kind < 16:
		return nil, data
	case kind < 32:
		return fmt.Sprint(len(data)), data
	case kind < 48:
		return redis.ErrClosed, data // also inside a list
	}
	if kind >= 250 { // -2 to 3, multiplied by a valid fence base
		return (int64(kind) - 252) << 50, data
	}
	return int64(kind) - 64, data
}

// FuzzReply replies to all requests with a value decoded from data. Each method must parse it into its
// numbers, or return an error.
func FuzzReply(f *testing.F) {
	for _, reply := range [][]byte{
		nil, {65}, {8}, {16}, {32}, {0}, {2, 65, 66}, {4, 65, 66, 67, 65}, {5, 65, 66, 67, 68, 69}, {5, 65, 66, 67, 64, 2, 65, 66}, {5, 65, 66, 67, 65, 3, 65, 66, 67}, {5, 65, 66, 67, 65, 0}, {255}, {250},
		{1, 4, 65, 66, 67, 65}, {1, 65}, {66}, {68}, {4, 65, 8, 67, 65}, {5, 65, 16, 67, 68, 69}, {2, 65, 32}, {5, 62, 66, 64, 64, 64}, {4, 65, 66, 67, 0}, {1, 0}, {1, 32},
		{4, 65, 16, 64, 16}, {7, 65, 64, 64, 64, 65, 66, 16}, {7, 64, 64, 64, 64, 64, 66, 16}, {7, 66, 64, 64, 64, 65, 66, 16}, {2, 65, 65}, {2, 63, 65}, {2, 62, 67},
	} {
		f.Add(reply)
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	f.Cleanup(func() { rdb.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		val, _ := value(data, 0)
		rdb := rdb.WithTimeout(0) // a copy, for a hook of its own
		rdb.AddHook(replies(val))
		s, ctx := NewStore(rdb), t.Context()
		checkError := func(what string, ok bool, err error) {
			t.Helper()
			if sent, failed := val.(error); failed {
				if !errors.Is(err, sent) {
					t.Errorf("%s of the error %v: %v", what, sent, err)
				}
			} else if (err == nil) != ok || err != nil && !retry.IsUnknown(err) {
				t.Errorf("%s of %v: %v", what, val, err)
			}
		}
		integers := func(val any, n int) bool {
			list, ok := val.([]any)
			for _, x := range list {
				_, number := x.(int64)
				ok = ok && number
			}
			return ok && len(list) == n
		}
		isBase := func(val any) bool {
			n, ok := val.(int64)
			return ok && max(n, -n) >= minFenceBase
		}
		status, one := val.(int64)
		ends := one && status >= 0 && status <= 3
		list, _ := val.([]any)

		for _, kind := range []lease.Kind{lease.Mutex, lease.RWMutex, lease.Semaphore} {
			name := lease.Name{Kind: kind, Key: "key"}
			reply, err := s.Acquire(ctx, lease.Request{Name: name, Token: a, Seq: 1, Want: 1})
			grants := integers(val, 5) && list[0] == int64(1)
			valid := integers(val, 5) && slices.Contains([]any{int64(-1), int64(0), int64(1)}, list[0])
			if kind == lease.Mutex {
				grants = isBase(val)
				valid = grants || integers(val, 2)
			}
			if kind != lease.Mutex && integers(val, 5) && list[0] == int64(-2) { // the wrong size
				if !errors.Is(err, lease.ErrSizeMismatch) && !errors.Is(err, lease.ErrExceedsSize) {
					t.Errorf("Acquire of %v: %v", val, err)
				}
			} else {
				checkError("Acquire", valid, err)
			}
			if reply.Granted != grants {
				t.Errorf("%v is a grant: %t, with %v", val, reply.Granted, err)
			}
			owned, err := s.Release(ctx, name, a)
			checkError("Release", ends, err)
			if owned != (status == 1 || status == 3) {
				t.Errorf("Release of %v: %t", val, owned)
			}
			renewed := renewAll(s, []lease.Renewal{{Name: name, Token: a, TTL: lockTTL}})[0]
			checkError("Renew", one, renewed.Err)
			if renewed.Held && renewed.Err != nil {
				t.Errorf("Renew of %v: %v", val, renewed)
			}
		}

		_, err := s.UpdateGroup(ctx, taskgroup.Operation{Key: "key", Session: "s", Seq: 1, Op: taskgroup.OpAdd})
		checkError("UpdateGroup", integers(val, 2) && list[0].(int64) >= -1 && list[0].(int64) <= 2, err)
		last, err := s.GroupStatus(ctx, "key", 0)
		valid := len(list) == 5 && integers(list[:4], 4)
		if valid {
			lost, isList := list[4].([]any)
			valid = isList && integers(list[4], len(lost)) && len(lost)%2 == 0
		}
		checkError("GroupStatus", valid, err)
		if err != nil && (last.Number != 0 || last.Abandoned != nil) {
			t.Errorf("GroupStatus of %v: %v, %v", val, last, err)
		}
		turn, err := s.Take(ctx, ratelimit.Reservation{Key: "key", N: 1, Rate: 1, Burst: 1})
		checkError("Take", integers(val, 2), err)
		if turn.Taken && err != nil {
			t.Errorf("Take of %v: %v, %v", val, turn, err)
		}
		checkError("Refund", integers(val, 2), s.Refund(ctx, ratelimit.Reservation{Key: "key", ID: "id"}))

		// The types of a reply begin with i for a number and s for text, and have more if there is a value.
		shaped := func(types, more string) bool {
			if len(list) > len(types) {
				types += more
			}
			for i, c := range types {
				isText := false
				if i < len(list) {
					_, isText = list[i].(string)
				}
				if i >= len(list) || isText != (c == 's') || !isText && !integers(list[i:i+1], 1) {
					return false
				}
			}
			return true
		}
		outcome := func(n any) bool { return slices.Contains([]any{int64(-2), int64(-1), int64(0), int64(1)}, n) }
		value, err := s.ReadValue(ctx, "key")
		checkError("ReadValue", shaped("isis", "sssisss"), err)
		if value.Value != nil && (err != nil || len(list) < 11) {
			t.Errorf("ReadValue of %v: %v, %v", val, value, err)
		}
		stored, err := s.WriteValue(ctx, lease.ValueWrite{Key: "key", Token: a})
		checkError("WriteValue", one && outcome(status), err)
		if stored == lease.ValueStored && (err != nil || status != 1) {
			t.Errorf("WriteValue of %v: %v, %v", val, stored, err)
		}
		stored, _, err = s.ReleaseValue(ctx, lease.ValueWrite{Key: "key", Token: a})
		valid = integers(val, 2) && outcome(list[0]) && list[1].(int64)>>2 == 0
		checkError("ReleaseValue", valid, err)
		if stored == lease.ValueStored && (err != nil || list[0] != int64(1)) {
			t.Errorf("ReleaseValue of %v: %v, %v", val, stored, err)
		}
		_, err = s.DeleteValue(ctx, "key")
		checkError("DeleteValue", one, err)
		reader := new(lease.ValueReader)
		reply, err := s.Acquire(ctx, lease.Request{Name: lease.Name{Kind: lease.Mutex, Key: "key"}, Token: a, Seq: 1, Want: 1, Value: reader})
		valid = shaped("iiiiis", "sssisss") && (list[0] == int64(0) || isBase(list[0])) && (list[3] == int64(0) || list[3] == int64(1) && len(list) > 6)
		checkError("Acquire with a value", valid, err)
		if (reply.Granted || reply.Found) && err != nil || reply.Found && !reply.Granted && reader.Found().Value == nil {
			t.Errorf("Acquire with a value, of %v: %v, %v", val, reply, err)
		}
	})
}
