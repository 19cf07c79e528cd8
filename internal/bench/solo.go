package main

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// timeSlice is how long a system runs before the next one. It is short, so that other load affects all
// systems, and long enough for a warm cache.
const timeSlice = 20 * time.Millisecond

// A soloRun is a system's measurement in one round of the row solo.
type soloRun struct {
	system
	h      handle
	times  []time.Duration
	spent  count
	cpu    time.Duration // of this process
	allocs uint64
}

// solo measures the systems in turns, in this process.
func (r *row) solo(ctx context.Context, d time.Duration, on servers, list []system) {
	all := make([]soloRun, len(list))
	for i, s := range list {
		c := s.openWarm(on.addr(), "warm-"+s.name)
		defer c.close()
		all[i] = soloRun{system: s, h: c.handle("solo-" + s.name)}
	}
	for range max(d/timeSlice, 1) {
		for i := range all {
			all[i].runSlice(ctx, on)
		}
	}
	for _, s := range all {
		slices.Sort(s.times)
		n := len(s.times)
		x := r.resultFor(s.name)
		x.record(rate, 1e6/micros(s.times[n/2]))
		x.record(p50, micros(s.times[n/2]))
		x.record(p99, micros(s.times[n*99/100]))
		x.record(requests, float64(s.spent.requests)/float64(n))
		x.record(serverTime, micros(s.spent.cpu)/float64(n))
		x.record(clientTime, micros(s.cpu)/float64(n))
		x.record(allocations, float64(s.allocs)/float64(n))
	}
}

func (s *soloRun) runSlice(ctx context.Context, on servers) {
	before := on.count(s.system)
	var m1, m2 runtime.MemStats
	runtime.ReadMemStats(&m1)
	cpu := cpuTime()
	for start, now := time.Now(), time.Now(); now.Sub(start) < timeSlice; {
		check(s.h.lock(ctx))
		check(s.h.unlock())
		next := time.Now()
		s.times = append(s.times, next.Sub(now))
		now = next
	}
	s.cpu += cpuTime() - cpu
	runtime.ReadMemStats(&m2)
	spent := on.count(s.system).since(before)
	s.spent.requests += spent.requests
	s.spent.cpu += spent.cpu
	s.allocs += m2.Mallocs - m1.Mallocs
}
