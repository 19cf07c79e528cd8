// Package redisstore is what baton does in Redis: the scripts, their replies,
// the classes of errors, and the subscription that hears of hand-overs. It has
// no state but the client; when and why things happen is package lease's.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// Mutex is the [lease.Store] of a lock that one claim holds at a time.
type Mutex struct{ rdb redis.UniversalClient }

// Patience is go-redis' ReadTimeout, unless the client was told to heed the ctx:
// getting a connection heeds it in any case.
func (m *Mutex) Patience() time.Duration {
	var read time.Duration
	var heeds bool
	switch rdb := m.rdb.(type) {
	case *redis.Client:
		read, heeds = rdb.Options().ReadTimeout, rdb.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		read, heeds = rdb.Options().ReadTimeout, rdb.Options().ContextTimeoutEnabled
	}
	switch {
	case heeds:
		return 0
	case read <= 0: // none, or a kind of client that we do not know
		return math.MaxInt64
	}
	return read
}

func (m *Mutex) Ask(ctx context.Context, r lease.Request) (lease.Reply, error) {
	keys, err := siblings(r.Key)
	if err != nil {
		return lease.Reply{}, lease.Permanent(err)
	}
	args := make([]any, 3, 6)
	args[0], args[1], args[2] = r.Token, r.TTL.Milliseconds(), r.N
	if r.N > 0 || r.From != "" { // for the entry
		args = append(args, r.Grant.Milliseconds(), r.Channel)
	}
	s := acquire
	if r.From != "" {
		s, args = yield, append(args, r.From)
	}
	val, err := s.run(ctx, m.rdb, keys, args)
	if err != nil {
		return lease.Reply{}, classify(err)
	}
	var n [4]int64 // status, base, ms left, ours
	tuple, _ := val.([]any)
	for i := range n {
		if len(tuple) != len(n) {
			return lease.Reply{}, lease.Permanent(fmt.Errorf("unexpected reply %v", val))
		}
		n[i], _ = tuple[i].(int64)
	}
	return lease.Reply{
		Granted: n[0] == 1, Base: n[1], Left: time.Duration(n[2]) * time.Millisecond, Foreign: n[3] == 0, Gone: n[0] < 0,
	}, nil
}

func (m *Mutex) Release(ctx context.Context, key, token string) (owned bool, err error) {
	keys, err := siblings(key)
	if err != nil {
		return false, lease.Permanent(err)
	}
	val, err := release.run(ctx, m.rdb, keys, []any{token})
	return val == int64(1), classify(overwritten(err))
}

// Renew sends one pipeline, and a second one with the script itself for what a
// server did not know it for: one that has just started, or taken over a slot.
func (m *Mutex) Renew(ctx context.Context, claims []lease.Renewal) []lease.Renewed {
	cmds := make([]once, len(claims))
	send := func(name, body string, due func(i int) bool) {
		pipe := m.rdb.Pipeline()
		for i, c := range claims {
			if due(i) {
				cmds[i] = renew.command(ctx, name, body, []any{c.Key}, []any{c.Token, c.TTL.Milliseconds()})
				_ = pipe.Process(ctx, cmds[i])
			}
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
	}
	send("evalsha", renew.sha, func(int) bool { return true })
	unknown := func(i int) bool { return redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") }
	for i := range cmds {
		if unknown(i) {
			send("eval", renew.text, unknown)
			break
		}
	}
	out := make([]lease.Renewed, len(claims))
	for i, cmd := range cmds {
		out[i] = lease.Renewed{Kept: cmd.Val() == int64(1), Err: classify(overwritten(cmd.Err()))}
	}
	return out
}

// overwritten takes a key of another type for what it is to a holder: not its
// lock, for certain.
func overwritten(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil
	}
	return err
}

var errNilClient = errors.New("the Redis client is nil")
