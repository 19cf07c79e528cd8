package lease

import (
	"context"
	"math"
	"sync"
	"time"
)

// walkBucket is what limit.lua does, in Go, on the clock of the bubble; names are
// its own. It is a [Bucket] without a network, and of one key.
type walkBucket struct {
	mu           sync.Mutex
	base         int64 // us
	taken        float64
	reservations map[string]walkReservation
	net          map[string]int // tokens that are taken and not given back, by id
	log          func(format string, args ...any)
}

type walkReservation struct {
	base, act, wait int64
	taken           float64
	n               int
	back            bool
	ends            time.Time
}

func newWalkBucket(log func(string, ...any)) *walkBucket {
	return &walkBucket{reservations: map[string]walkReservation{}, net: map[string]int{}, log: log}
}

func (b *walkBucket) open(d Draw) (record walkReservation, known bool, now int64) {
	now = time.Now().UnixMicro()
	if b.taken-float64(now-b.base)*d.Rate/1e6 <= 0 {
		b.base, b.taken = now, 0
	}
	record, known = b.reservations[d.ID]
	return record, known && time.Now().Before(record.ends), now
}

func (b *walkBucket) Take(_ context.Context, d Draw) (Turn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, known, now := b.open(d)
	if known {
		if record.back {
			return Turn{}, nil
		}
		wait := time.Duration(max(min(record.act-now, record.wait), 0)) * time.Microsecond
		record.ends = time.Now().Add(wait + Memory)
		b.reservations[d.ID] = record
		return Turn{true, wait}, nil
	}
	wait := int64(0)
	if missing := b.taken + float64(d.N-d.Burst); missing > 0 {
		wait = max(int64(math.Ceil(missing*1e6/d.Rate))-(now-b.base), 0)
	}
	after := time.Duration(wait) * time.Microsecond
	b.log("take %s: in %v", d.ID, after)
	if after > d.Longest {
		return Turn{false, after}, nil
	}
	b.taken += float64(d.N)
	b.net[d.ID] += d.N
	b.reservations[d.ID] = walkReservation{b.base, now + wait, wait, b.taken, d.N, false, time.Now().Add(after + Memory)}
	return Turn{true, after}, nil
}

func (b *walkBucket) Return(_ context.Context, d Draw) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, known, now := b.open(d)
	b.reservations[d.ID] = walkReservation{back: true, ends: time.Now().Add(Memory)}
	if !known || record.back || record.base != b.base {
		return nil
	}
	back := float64(record.n) - max(b.taken-record.taken, 0)
	b.log("give %s back: %v", d.ID, back)
	if back <= 0 {
		return nil
	}
	b.net[d.ID] -= int(back)
	if b.taken -= back; b.taken <= float64(now-b.base)*d.Rate/1e6 {
		b.taken = 0
	}
	return nil
}
