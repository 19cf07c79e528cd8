package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// delays are how long a frame takes each way.
var delays = []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}

// latency is a row: as own, over a network with latency.
type latency struct {
	name       string
	goroutines int
	trips      map[time.Duration]series // round trips of one PING at a time, ms
	results    map[string]map[time.Duration]*latencyResult
}

// A latencyResult has medians in round trips.
type latencyResult struct {
	lock, unlock series
	failed       int64
	why          string
}

func newLatency(name, shape string) (row, error) {
	n, err := size(shape, 64)
	return &latency{name, n, map[time.Duration]series{}, map[string]map[time.Duration]*latencyResult{}}, err
}

func (r *latency) round(ctx context.Context, b *bench, n int) error {
	list := slices.Concat(b.having(system.ownsKeys), batching())
	for _, delay := range delays {
		proxy, err := redistest.LaunchProxy(b.server.Addr())
		if err != nil {
			return err
		}
		proxy.SetDelay(delay)
		trip, err := roundTrip(ctx, proxy.Addr())
		r.trips[delay] = append(r.trips[delay], micros(trip)/1000)
		for _, sys := range rotated(list, n) {
			if err == nil {
				err = b.missed(ctx, r.name, sys.name, r.measure(ctx, b, sys, proxy.Addr(), delay, trip))
			}
		}
		proxy.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// roundTrip returns the median time of one command at a time.
func roundTrip(ctx context.Context, addr string) (time.Duration, error) {
	rdb := dial(addr)
	defer rdb.Close()
	times := make([]time.Duration, 21)
	for i := range times {
		start := time.Now()
		if err := rdb.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	return middle(times), nil
}

func (r *latency) measure(ctx context.Context, b *bench, sys system, addr string, delay, trip time.Duration) error {
	j := job{Task: "own", System: sys.name, Addr: addr, Key: "own", Goroutines: r.goroutines, Duration: b.duration}
	t, err := b.try(ctx, 1, j)
	if err != nil {
		return err
	}
	if r.results[sys.name] == nil {
		r.results[sys.name] = map[time.Duration]*latencyResult{}
	}
	x := r.results[sys.name][delay]
	if x == nil {
		x = new(latencyResult)
		r.results[sys.name][delay] = x
	}
	x.lock = append(x.lock, micros(t.Locks.quantile(0.5))/micros(trip))
	x.unlock = append(x.unlock, micros(t.Unlocks.quantile(0.5))/micros(trip))
	x.failed += t.Failed
	x.why = t.Why
	return nil
}

func (r *latency) report(b *bench) []table {
	t := table{
		title: fmt.Sprintf("%s: 1 process of %d goroutines, a key each, over a network; medians in round trips", r.name, r.goroutines),
		head:  []string{"system"},
	}
	for _, delay := range delays {
		t.head = append(t.head, fmt.Sprintf("%v each way: lock", delay), "min–max", "unlock", "min–max")
	}
	for _, sys := range slices.Concat(b.systems, baselines) {
		line := []string{sys.name}
		for _, delay := range delays {
			if x := r.results[sys.name][delay]; x != nil {
				line = append(line, x.lock.cell(), x.lock.spread(), x.unlock.cell(), x.unlock.spread())
				if x.failed > 0 {
					t.notes = append(t.notes, fmt.Sprintf("%s: %d calls failed: %s", sys.name, x.failed, x.why))
				}
			}
		}
		if len(line) == len(t.head) {
			t.add(line...)
		}
	}
	for _, delay := range delays {
		t.notes = append(t.notes, fmt.Sprintf("a round trip with %v each way: %s ms", delay, r.trips[delay].cell()))
	}
	return []table{t}
}

func (r *latency) targets(*bench) (list []target) {
	for _, delay := range delays {
		if x := r.results["baton"][delay]; x != nil {
			list = append(list,
				target{row: r.name, what: fmt.Sprintf("round trips of lock, %v each way", delay), got: x.lock, limit: 1.1},
				target{row: r.name, what: fmt.Sprintf("round trips of unlock, %v each way", delay), got: x.unlock, limit: 1.1})
		}
	}
	return list
}
