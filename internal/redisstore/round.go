package redisstore

import (
	"context"
	"fmt"

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
	val, err := roundChange.run(ctx, s.rdb, []any{c.Key, base + "operations:" + c.Session + suffix},
		[]any{base + "over" + suffix, c.Op, c.Low, string(c.What), arg, c.TTL.Milliseconds()})
	if err != nil {
		return 0, classify(err)
	}
	if tuple, _ := val.([]any); len(tuple) == 2 {
		if answer, ok := tuple[0].(int64); ok {
			return lease.Answer(answer), nil
		}
	}
	return 0, lease.Permanent(fmt.Errorf("unexpected reply %v", val))
}

// Look is [lease.Counter]'s.
func (s *Store) Look(ctx context.Context, key string, from int64) (lease.Round, error) {
	topic, err := s.Topic(key)
	if err != nil {
		return lease.Round{}, lease.Permanent(err)
	}
	val, err := roundLook.run(ctx, s.rdb, []any{key}, []any{topic, from})
	if err != nil {
		return lease.Round{}, classify(err)
	}
	var n [3]int64
	tuple, _ := val.([]any)
	if len(tuple) != 4 {
		return lease.Round{}, lease.Permanent(fmt.Errorf("unexpected reply %v", val))
	}
	for i := range n {
		n[i], _ = tuple[i].(int64)
	}
	r := lease.Round{Number: n[0], Left: n[1], Since: n[2]}
	lost, _ := tuple[3].([]any)
	for i := 0; i+1 < len(lost); i += 2 {
		number, _ := lost[i].(int64)
		tasks, _ := lost[i+1].(int64)
		if r.Lost == nil {
			r.Lost = make(map[int64]int64)
		}
		r.Lost[number] = tasks
	}
	return r, nil
}

// Topic is [lease.Counter]'s.
func (s *Store) Topic(key string) (string, error) {
	base, suffix, err := affixes(key)
	return base + "over" + suffix, err
}
