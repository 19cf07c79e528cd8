package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// slice is how long a system runs before it is the next one's turn: short, so
// that what else the machine does falls on all, and long enough to be warm.
const slice = 20 * time.Millisecond

// solo is a row: one goroutine locks and unlocks a key that nobody else wants.
type solo struct{ results map[string]*soloResult }

type soloResult struct{ median, p99, requests, cpu, allocs series }

// A soloWorker is a system in one round.
type soloWorker struct {
	system
	client
	h        handle
	times    []time.Duration
	requests int64
	cpu      time.Duration // the server's
	allocs   uint64
}

func newSolo(_, shape string) (row, error) {
	if shape != "" {
		return nil, errors.New("it has no size")
	}
	return &solo{map[string]*soloResult{}}, nil
}

func (r *solo) round(ctx context.Context, b *bench, n int) error {
	list := rotated(b.having(func(s system) bool { return !s.permits && !s.lingers }), n)
	soloists := make([]soloWorker, len(list))
	for i, sys := range list {
		s := &soloists[i]
		s.system = sys
		var err error
		if s.client, err = sys.open(b.server.Addr()); err != nil {
			return err
		}
		defer s.close()
		if err := warm(s.client, "warm-"+sys.name); err != nil {
			return fmt.Errorf("%s: %w", sys.name, err)
		}
		s.h = s.handle("solo-" + sys.name)
	}
	for range max(b.duration/slice, 1) {
		for i := range soloists {
			if err := soloists[i].turn(ctx, b.server); err != nil {
				return fmt.Errorf("%s: %w", soloists[i].name, err)
			}
		}
	}
	for _, s := range soloists {
		if r.results[s.name] == nil {
			r.results[s.name] = new(soloResult)
		}
		r.results[s.name].add(s)
	}
	return nil
}

func (s *soloWorker) turn(ctx context.Context, server *server) error {
	before, err := server.count(ctx)
	if err != nil {
		return err
	}
	var m1, m2 runtime.MemStats
	runtime.ReadMemStats(&m1)
	for start, now := time.Now(), time.Now(); now.Sub(start) < slice; {
		if err := s.h.lock(ctx); err != nil {
			return err
		}
		if err := s.h.unlock(); err != nil {
			return err
		}
		next := time.Now()
		s.times = append(s.times, next.Sub(now))
		now = next
	}
	runtime.ReadMemStats(&m2)
	after, err := server.count(ctx)
	if err != nil {
		return err
	}
	spent := after.since(before)
	s.requests += spent.requests(s.system)
	s.cpu += spent.cpu
	s.allocs += m2.Mallocs - m1.Mallocs
	return ctx.Err()
}

func (r *soloResult) add(s soloWorker) {
	slices.Sort(s.times)
	n := len(s.times)
	r.median = append(r.median, micros(s.times[n/2]))
	r.p99 = append(r.p99, micros(s.times[n*99/100]))
	r.requests = append(r.requests, float64(s.requests)/float64(n))
	r.cpu = append(r.cpu, micros(s.cpu)/float64(n))
	r.allocs = append(r.allocs, float64(s.allocs)/float64(n))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (r *solo) report(b *bench) []table {
	t := table{
		title: "solo: 1 goroutine, 1 key that nobody else wants; lock and unlock",
		head:  []string{"system", "median µs", "min–max", "× floor", "min–max", "p99 µs", "requests", "server µs", "allocations"},
	}
	for _, sys := range b.systems {
		if x := r.results[sys.name]; x != nil {
			ratio := r.overFloor(x)
			t.add(sys.name, x.median.cell(), x.median.spread(), ratio.cell(), ratio.spread(),
				x.p99.cell(), x.requests.cell(), x.cpu.cell(), x.allocs.cell())
		}
	}
	return []table{t}
}

func (r *solo) overFloor(x *soloResult) series {
	if f := r.results["floor"]; f != nil && x != nil {
		return x.median.over(f.median)
	}
	return nil
}

func (r *solo) targets(*bench) (list []target) {
	for _, name := range []string{"baton", "baton-background", "baton-timeouts"} {
		x := r.results[name]
		if x == nil {
			continue
		}
		if f := r.results["floor-fenced"]; f != nil {
			list = append(list, target{row: "solo", what: name + ": median of lock and unlock, × that of floor-fenced", got: x.median.over(f.median), limit: 1.15})
		}
		if peer := r.results["redislock"]; peer != nil {
			list = append(list, target{row: "solo", what: name + ": rate, × that of redislock", got: peer.median.over(x.median), limit: 0.95, least: true})
		}
		list = append(list, target{row: "solo", what: name + ": allocations", got: x.allocs, limit: 28})
	}
	return list
}
