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

func TestRenew(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.unchanged("renewing a free lock", func() { equal(t, "kept", r.renew(a), false) })
		r.held(a, b)
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("renewing another's lock", func() {
			equal(t, "kept by one who waits", r.renew(b), false)
			equal(t, "kept by a stranger", r.renew(c), false)
		})
		r.expiry(r.lock, 3*time.Second)
		said := r.published(func() {
			r.unchanged("renewing", func() { equal(t, "kept", r.renew(a), true) })
		})
		equal(t, "messages", len(said), 0)
		r.expiry(r.lock, lockTTL)
	})
}

// pipelines is a hook that notes the commands of each pipeline. One that is sent by
// itself is a pipeline of one.
type pipelines [][]redis.Cmder

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.NoRetry() { // else it is a command of the test
			*p = append(*p, []redis.Cmder{cmd})
		}
		return next(ctx, cmd)
	}
}
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		*p = append(*p, slices.Clone(cmds))
		return next(ctx, cmds)
	}
}

// held makes n locks and the renewals of their owners.
func (r *rig) heldMany(n int) []lease.Renewal {
	r.Helper()
	list := make([]lease.Renewal, n)
	for i := range list {
		list[i] = lease.Renewal{Name: mutexAt(fmt.Sprint("key", i)), Token: fmt.Sprint("baton:1:", i), TTL: lockTTL}
		check(r.T, r.rdb.Set(r.Context(), list[i].Key, list[i].Token, time.Second*5).Err())
	}
	return list
}

func TestRenewOfMany(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		list := r.heldMany(100)
		r.renew(a) // loads the script
		for _, loaded := range []bool{true, false} {
			if !loaded {
				check(r.T, r.rdb.ScriptFlush(r.Context()).Err())
			}
			var sent pipelines
			r.rdb.AddHook(&sent)
			for i, got := range renewAll(r, list) {
				equal(t, list[i].Key, got, lease.RenewResult{Held: true})
				r.expiry(list[i].Key, lockTTL)
			}
			want := 1
			if !loaded {
				want = 2 // the second with the script itself
			}
			if len(sent) != want {
				t.Errorf("%d pipelines", len(sent))
			}
			for _, cmds := range sent {
				equal(t, "commands", len(cmds), len(list))
				for _, cmd := range cmds {
					equal(t, "NoRetry", cmd.NoRetry(), true)
				}
			}
		}
	})
}

func TestRenewOfNone(t *testing.T) {
	r := NewStore(newClient(t))
	if got := renewAll(r, nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// One claim's end says nothing about the others.
func TestRenewIsolatesClaims(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		list := r.heldMany(6)
		r.put(list[1].Key, "list")
		r.rdb.Del(r.Context(), list[2].Key)
		r.rdb.Set(r.Context(), list[3].Key, "hand-written", 0)
		list[4].TTL = 0 // a PEXPIRE that deletes
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

// What happened on the server, and not on the client, is the test of idle waiters.
func TestRenewCostsOneCommandAndWakesNobody(t *testing.T) {
	t.Parallel()
	r, s := realRig(t)
	r.held(a, b)
	r.renew(a)
	list := r.heldMany(50)
	before := s.Stats(t)
	renewAll(r, list)
	spent := s.Stats(t).Since(before)
	equal(t, "scripts", spent.Scripts(), 50)
	equal(t, "messages", spent.Published(), 0)
	redistest.CheckCount(t, "new connections", spent.Connections, 1) // go-redis has some of their own for pipelines
}

func TestRenewOfAllOnABrokenConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	r := newRig(t, p.Client(t), "key")
	list := r.heldMany(10)
	r.renew(a)
	before := s.Stats(t)
	p.CutNextReply("evalsha")
	for i, got := range renewAll(r, list) {
		equal(t, list[i].Key+" kept", got.Held, false)
		expect(t, list[i].Key, got.Err, "passing", "EOF")
	}
	equal(t, "replies cut", p.Faults().RepliesCut, 1)
	if n := s.Stats(t).Since(before).Scripts(); n > 10 {
		t.Errorf("%d scripts for 10 claims: they were sent again", n)
	}
}
