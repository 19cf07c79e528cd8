package lease

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
)

// sweepRateStore is what limiter.lua does, in Go, on the clock of the bubble; names are
// its own. It is a [ratelimit.Store] without a network, and of one key.
type sweepRateStore struct {
	mu           sync.Mutex
	base         int64 // us
	taken        float64
	reservations map[string]sweepReservation
	net          map[string]int // tokens that are taken and not given back, by id
	log          func(format string, args ...any)
}

type sweepReservation struct {
	base, act, wait int64
	taken           float64
	n               int
	back            bool
	ends            time.Time
}

func newWalkBucket(log func(string, ...any)) *sweepRateStore {
	return &sweepRateStore{reservations: map[string]sweepReservation{}, net: map[string]int{}, log: log}
}

func (b *sweepRateStore) open(r ratelimit.Reservation) (record sweepReservation, known bool, now int64) {
	now = time.Now().UnixMicro()
	if b.taken-float64(now-b.base)*r.Rate/1e6 <= 0 {
		b.base, b.taken = now, 0
	}
	record, known = b.reservations[r.ID]
	return record, known && time.Now().Before(record.ends), now
}

func (b *sweepRateStore) Take(_ context.Context, r ratelimit.Reservation) (ratelimit.TakeResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, known, now := b.open(r)
	if known {
		if record.back {
			return ratelimit.TakeResult{}, nil
		}
		wait := time.Duration(max(min(record.act-now, record.wait), 0)) * time.Microsecond
		record.ends = time.Now().Add(wait + ratelimit.Retention)
		b.reservations[r.ID] = record
		return ratelimit.TakeResult{Taken: true, Wait: wait}, nil
	}
	wait := int64(0)
	if missing := b.taken + float64(r.N-r.Burst); missing > 0 {
		wait = max(int64(math.Ceil(missing*1e6/r.Rate))-(now-b.base), 0)
	}
	after := time.Duration(wait) * time.Microsecond
	b.log("take %s: in %v", r.ID, after)
	if after > r.MaxWait {
		return ratelimit.TakeResult{Wait: after}, nil
	}
	b.taken += float64(r.N)
	b.net[r.ID] += r.N
	b.reservations[r.ID] = sweepReservation{b.base, now + wait, wait, b.taken, r.N, false, time.Now().Add(after + ratelimit.Retention)}
	return ratelimit.TakeResult{Taken: true, Wait: after}, nil
}

func (b *sweepRateStore) Return(_ context.Context, r ratelimit.Reservation) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, known, now := b.open(r)
	b.reservations[r.ID] = sweepReservation{back: true, ends: time.Now().Add(ratelimit.Retention)}
	if !known || record.back || record.base != b.base {
		return nil
	}
	back := float64(record.n) - max(b.taken-record.taken, 0)
	b.log("give %s back: %v", r.ID, back)
	if back <= 0 {
		return nil
	}
	b.net[r.ID] -= int(back)
	if b.taken -= back; b.taken <= float64(now-b.base)*r.Rate/1e6 {
		b.taken = 0
	}
	return nil
}
