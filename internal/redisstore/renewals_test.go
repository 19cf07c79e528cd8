package redisstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// pipelines returns a hook that records the commands of each pipeline. A single command counts as a
// pipeline.
func pipelines(sent *[][]redis.Cmder) redis.Hook {
	return redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error {
		if cmds[0].NoRetry() { // otherwise the test sends the command
			*sent = append(*sent, slices.Clone(cmds))
		}
		return nil
	})
}

// heldMany stores n held locks, and returns the renewals of their owners.
func (r *rig) heldMany(n int) []lease.Renewal {
	r.Helper()
	list := make([]lease.Renewal, n)
	must(r.rdb.Pipelined(r.Context(), func(p redis.Pipeliner) error {
		for i := range list {
			list[i] = lease.Renewal{Name: mutexAt(fmt.Sprint("key", i)), Token: fmt.Sprint("baton:1:", i), TTL: lockTTL}
			p.Set(r.Context(), list[i].Key, list[i].Token, time.Minute)
		}
		return nil
	}))(r.T)
	return list
}

func TestRenewOfMany(t *testing.T) {
	eachServer(t, func(r *rig) {
		list := r.heldMany(100)
		r.renew(a) // loads the script
		for _, loaded := range []bool{true, false} {
			if !loaded {
				check(r.T, r.rdb.ScriptFlush(r.Context()).Err())
			}
			var sent [][]redis.Cmder
			r.rdb.AddHook(pipelines(&sent))
			for i, got := range renewAll(r, list) {
				equal(t, list[i].Key, got, lease.RenewResult{Held: true})
				r.expiry(list[i].Key, lockTTL)
			}
			want := 1
			if !loaded {
				want = 2 // the second pipeline has the text of the script
			}
			if len(sent) != want {
				t.Errorf("%d pipelines", len(sent))
			}
			for _, cmds := range sent {
				redistest.CheckCount(t, "the commands to renew 100", int64(len(cmds)), int64(len(list)))
				for _, cmd := range cmds {
					equal(t, "NoRetry", cmd.NoRetry(), true)
				}
			}
		}
	})
}

// The loss of one claim does not affect the others.
func TestRenewIsolatesClaims(t *testing.T) {
	eachServer(t, func(r *rig) {
		list := r.heldMany(6)
		r.put(list[1].Key, "list")
		r.rdb.Del(r.Context(), list[2].Key)
		r.rdb.Set(r.Context(), list[3].Key, "hand-written", 0)
		list[4].TTL = 0 // PEXPIRE deletes the key
		for _, fresh := range []bool{true, false} {
			if fresh {
				check(r.T, r.rdb.ScriptFlush(r.Context()).Err())
			}
			got := renewAll(r, list)
			for i, want := range []bool{true, false, false, false, fresh, true} {
				equal(t, list[i].Key, got[i], lease.RenewResult{Held: want})
			}
		}
		equal(t, "the foreign owner's TTL", r.pttl(list[3].Key), -1)
		equal(t, "the list", r.rdb.LLen(r.Context(), list[1].Key).Val(), 1)
	})
}
