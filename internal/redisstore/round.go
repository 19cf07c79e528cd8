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
		[]any{base + "over" + suffix, c.Key, c.Op, c.Low, string(c.What), arg, c.TTL.Milliseconds()})
	if err != nil {
		return 0, classify(s.rdb, err)
	}
	n, err := numbers(val, 2)
	if answer := lease.Answer(n[0]); err == nil && (answer < lease.Voided || answer > lease.Missed) {
		err = unexpected(val)
	}
	return lease.Answer(n[0]), err
}

// Look is [lease.Counter]'s. One script ends a few dead tasks at most: Look repeats it until
// it has ended all.
func (s *Store) Look(ctx context.Context, key string, from int64) (lease.Round, error) {
	topic, err := s.Topic(key)
	if err != nil {
		return lease.Round{}, lease.Permanent(err)
	}
	for step := 1; ; step++ {
		val, err := s.transport.run(ctx, roundLook, []any{key}, []any{topic, key, from})
		if err != nil {
			return lease.Round{}, classify(s.rdb, err)
		}
		if r, more, err := roundOf(val); !more || step == maxSteps {
			return r, err
		}
	}
}

// roundOf reads the reply of round_look.lua.
func roundOf(val any) (r lease.Round, more bool, err error) {
	tuple, _ := val.([]any)
	if len(tuple) != 5 {
		return r, false, unexpected(val)
	}
	lost, ok := tuple[4].([]any)
	n, err := numbers(tuple[:4], 4)
	if err != nil || !ok || len(lost)%2 != 0 {
		return r, false, unexpected(val)
	}
	r = lease.Round{Number: n[0], Left: n[1], Since: n[2]}
	for ; len(lost) > 0; lost = lost[2:] {
		n, err := numbers(lost[:2], 2) // a round, and how many tasks it lost
		if err != nil {
			return lease.Round{}, false, unexpected(val)
		}
		if r.Lost == nil {
			r.Lost = make(map[int64]int64)
		}
		r.Lost[n[0]] = n[1]
	}
	return r, n[3] != 0, nil
}

// Topic is [lease.Counter]'s.
func (s *Store) Topic(key string) (string, error) {
	base, suffix, err := affixes(key)
	return base + "over" + suffix, err
}
