package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var limitTake = load("limiter.lua")

// Take is [ratelimit.Store]'s.
func (s *Store) Take(ctx context.Context, r ratelimit.Reservation) (ratelimit.TakeResult, error) {
	status, wait, err := s.limit(ctx, r, r.N)
	return ratelimit.TakeResult{Taken: status == 1, Wait: wait}, err
}

// Refund is [ratelimit.Store]'s.
func (s *Store) Refund(ctx context.Context, r ratelimit.Reservation) error {
	_, _, err := s.limit(ctx, r, 0)
	return err
}

func (s *Store) limit(ctx context.Context, r ratelimit.Reservation, n int) (status int64, wait time.Duration, err error) {
	prefix, suffix, err := keyParts(r.Key)
	if err != nil {
		return 0, 0, retry.Permanent(err)
	}
	keys := append(make([]any, 0, 2), r.Key)
	if r.ID != "" {
		for _, id := range append([]string{r.ID}, r.Finished...) {
			keys = append(keys, prefix+"reservation:"+id+suffix)
		}
	}
	rate := strconv.FormatFloat(r.Rate, 'g', -1, 64)
	if !strings.Contains(rate, ".") {
		rate = strings.Replace(rate, "e", ".0e", 1) // miniredis reads no 1e+06
	}
	val, err := s.transport.run(ctx, limitTake, keys, []any{n, rate, r.Burst, r.MaxWait.Microseconds()})
	if err != nil {
		return 0, 0, classify(s.rdb, err)
	}
	reply, err := parseInts(val, 2)
	return reply[0], time.Duration(reply[1]) * time.Microsecond, err
}

// InspectLimiter returns what Redis knows of the limiter.
func (s *Store) InspectLimiter(ctx context.Context, key string) (b ratelimit.Bucket, err error) {
	val, err := s.transport.run(ctx, limiterInspect, []any{key}, nil)
	if err != nil {
		return b, classify(s.rdb, err)
	}
	r := replyReader{val: val}
	rate, burst, tokens := nextValue[string](&r), nextValue[string](&r), nextValue[string](&r)
	b.Next = time.Duration(nextValue[int64](&r)) * time.Microsecond
	if b.Full = rate == ""; !b.Full {
		var errs [3]error
		b.Rate, errs[0] = strconv.ParseFloat(rate, 64)
		b.Burst, errs[1] = strconv.Atoi(burst)
		b.Tokens, errs[2] = strconv.ParseFloat(tokens, 64)
		r.malformed = r.malformed || errors.Join(errs[:]...) != nil
	}
	if r.malformed {
		return ratelimit.Bucket{}, unexpectedReply(val)
	}
	return b, nil
}

// ValidKey returns why the key cannot be used, nil if it can.
func ValidKey(key string) error {
	_, _, err := keyParts(key)
	return err
}
