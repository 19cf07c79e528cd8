package redisstore

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var _ lease.Together = (*Store)(nil)

// Joins reports whether one script can serve both keys: only if they share a hash tag.
// A cluster refuses any other script whose keys are of several slots, and a proxy that
// shards sends it where the first key is. Whether there is one behind the address of a
// single server nobody can tell.
func (s *Store) Joins(a, b string) bool { return hashtag(a) == hashtag(b) }

func (s *Store) AskAll(ctx context.Context, all bool, rs []lease.Request) ([]lease.Reply, error) {
	keys, args := make([]any, 0, 4*len(rs)), make([]any, 1, 1+6*len(rs))
	if args[0] = 0; all {
		args[0] = 1
	}
	for _, r := range rs {
		names, err := siblings(r.Name)
		if err != nil {
			return nil, lease.Permanent(err)
		}
		keys = append(keys, names...)
		n := r.N
		if !r.Queue {
			n = 0
		}
		args = append(args, r.Token, r.TTL.Milliseconds(), n, r.Grant.Milliseconds(), r.Channel, r.Key)
	}
	vals, err := s.each(ctx, together, keys, args)
	if err != nil {
		return nil, err
	}
	replies := make([]lease.Reply, 0, len(vals))
	for _, val := range vals {
		if err, failed := val.(error); failed {
			return replies, classify(s.rdb, err)
		}
		r, err := replyOf(val)
		if err != nil {
			return replies, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

func (s *Store) ReleaseAll(ctx context.Context, places []lease.Place) ([]lease.Released, error) {
	keys, args := make([]any, 0, 4*len(places)), make([]any, 0, len(places))
	for _, p := range places {
		names, err := siblings(lease.Name{Kind: lease.Mutex, Key: p.Key})
		if err != nil {
			return nil, lease.Permanent(err)
		}
		keys, args = append(keys, names...), append(args, p.Token)
	}
	vals, err := s.each(ctx, releaseAll, keys, args)
	if err != nil {
		return nil, err
	}
	out := make([]lease.Released, len(vals))
	for i, val := range vals {
		if err, failed := val.(error); failed {
			out[i].Err = classify(s.rdb, overwritten(err))
			continue
		}
		owned, _, err := released(val)
		out[i] = lease.Released{Owned: owned, Err: err}
	}
	return out, nil
}

// replyOf reads what together.lua says of one lock.
func replyOf(val any) (lease.Reply, error) {
	n, err := numbers(val, 4) // status, base, ms left, ours
	switch {
	case err != nil:
		return lease.Reply{}, err
	case n[0] != 0 && n[0] != 1:
		return lease.Reply{}, unexpected(val)
	}
	return lease.Reply{Granted: n[0] == 1, Base: n[1], Weight: n[0], Given: n[0], Left: time.Duration(n[2]) * time.Millisecond, Foreign: n[3] == 0}, nil
}

// each runs a script that replies for each of several locks.
func (s *Store) each(ctx context.Context, script *script, keys, args []any) ([]any, error) {
	val, err := s.transport.run(ctx, script, keys, args)
	if err != nil {
		return nil, classify(s.rdb, err)
	}
	vals, ok := val.([]any)
	if !ok || len(vals) == 0 || len(vals) > len(keys)/4 {
		return nil, unexpected(val)
	}
	return vals, nil
}
