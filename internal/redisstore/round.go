package redisstore

import (
	"context"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var (
	roundChange = load("round_change.lua")
	roundLook   = load("round_look.lua")
	roundRenew  = load("round_renew.lua")
)

// Change is [lease.Counter]'s.
func (s *Store) Change(ctx context.Context, c lease.Change) (lease.Answer, error) {
	base, suffix, err := affixes(c.Key)
	if err != nil {
		return 0, lease.Permanent(err)
	}
	var arg any = c.Token
	switch c.What {
	case lease.Add:
		arg = c.Delta
	case lease.Undo:
		arg = "-"
	}
	val, err := s.transport.run(ctx, roundChange, []any{c.Key, base + "operations:" + c.Session + suffix},
		[]any{base + "over" + suffix, c.Op, c.Low, string(c.What), arg, c.TTL.Milliseconds()})
	if err != nil {
		return 0, classify(s.rdb, err)
	}
	n, err := numbers(val, 2)
	if answer := lease.Answer(n[0]); err == nil && (answer < lease.Voided || answer > lease.Missed) {
		err = unexpected(val)
	}
	return lease.Answer(n[0]), err
}

// Look is [lease.Counter]'s.
func (s *Store) Look(ctx context.Context, key string, from int64) (lease.Round, error) {
	topic, err := s.Topic(key)
	if err != nil {
		return lease.Round{}, lease.Permanent(err)
	}
	val, err := s.transport.run(ctx, roundLook, []any{key}, []any{topic, from})
	if err != nil {
		return lease.Round{}, classify(s.rdb, err)
	}
	tuple, _ := val.([]any)
	if len(tuple) != 4 {
		return lease.Round{}, unexpected(val)
	}
	n, err := numbers(tuple[:3], 3)
	lost, ok := tuple[3].([]any)
	if err != nil || !ok || len(lost)%2 != 0 {
		return lease.Round{}, unexpected(val)
	}
	r := lease.Round{Number: n[0], Left: n[1], Since: n[2]}
	for ; len(lost) > 0; lost = lost[2:] {
		n, err := numbers(lost[:2], 2) // a round, and how many tasks it lost
		if err != nil {
			return lease.Round{}, unexpected(val)
		}
		if r.Lost == nil {
			r.Lost = make(map[int64]int64)
		}
		r.Lost[n[0]] = n[1]
	}
	return r, nil
}

// Topic is [lease.Counter]'s.
func (s *Store) Topic(key string) (string, error) {
	base, suffix, err := affixes(key)
	return base + "over" + suffix, err
}
