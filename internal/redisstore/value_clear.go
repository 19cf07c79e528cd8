package redisstore

import (
	"context"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var valueClear = load("value_clear.lua")

// ClearValue is [lease.TermStore]'s.
func (s *Store) ClearValue(ctx context.Context, key string) error {
	keys, err := buildKeys(key, []string{"value"})
	if err != nil {
		return retry.Permanent(err)
	}
	_, err = s.transport.run(ctx, valueClear, keys, []any{s.publishedOn(keys[1]), key})
	return classify(s.rdb, err)
}
