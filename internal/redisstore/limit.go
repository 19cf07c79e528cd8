package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

var limit = load("limit.lua")

// Bucket is the [lease.Bucket] of rate limits.
type Bucket struct{ *Store }

// NewBucket returns the bucket store of the client.
func NewBucket(rdb redis.UniversalClient) (*Bucket, error) {
	rdb, err := resolve(rdb)
	if err != nil {
		return nil, err
	}
	return &Bucket{NewStore(rdb)}, nil
}

func (b *Bucket) Take(ctx context.Context, d lease.Draw) (lease.Turn, error) {
	status, wait, err := b.run(ctx, d, d.N)
	return lease.Turn{Taken: status == 1, Wait: wait}, err
}

func (b *Bucket) Return(ctx context.Context, d lease.Draw) error {
	_, _, err := b.run(ctx, d, 0)
	return err
}

func (b *Bucket) run(ctx context.Context, d lease.Draw, n int) (status int64, wait time.Duration, err error) {
	base, suffix, err := affixes(d.Key)
	if err != nil {
		return 0, 0, lease.Permanent(err)
	}
	keys := append(make([]any, 0, 2), d.Key)
	if d.ID != "" {
		keys = append(keys, base+"limit:"+d.ID+suffix)
	}
	rate := strconv.FormatFloat(d.Rate, 'g', -1, 64)
	if !strings.Contains(rate, ".") {
		rate = strings.Replace(rate, "e", ".0e", 1) // miniredis reads no 1e+06
	}
	val, err := b.transport.run(ctx, limit, keys, []any{n, rate, d.Burst, d.Longest.Microseconds()})
	if err != nil {
		return 0, 0, classify(b.rdb, err)
	}
	reply, err := numbers(val, 2)
	return reply[0], time.Duration(reply[1]) * time.Microsecond, err
}

// ValidKey returns why the key cannot be used, nil if it can.
func ValidKey(key string) error {
	_, _, err := affixes(key)
	return err
}
