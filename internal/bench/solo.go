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
	h        handle
	times    []time.Duration
	requests int64
	cpu      time.Duration // the server's
	allocs   uint64
}

// solo measures the systems in turns, in this process.
func (r *row) solo(ctx context.Context, d time.Duration, servers *server, list []system) error {
	all := make([]soloRun, len(list))
	for i, s := range list {
		c, err := s.openWarm(servers.addr(), "warm-"+s.name)
		if err != nil {
			return err
		}
		defer c.close()
		all[i].system, all[i].h = s, c.handle("solo-"+s.name)
	}
	for range max(d/timeSlice, 1) {
		for i := range all {
			if err := all[i].runSlice(ctx, servers); err != nil {
				return err
			}
		}
	}
	for _, s := range all {
		slices.Sort(s.times)
		n := len(s.times)
		x := r.results.resultFor(s.name)
		x.record(rate, 1e6/micros(s.times[n/2]))
		x.record(p50, micros(s.times[n/2]))
		x.record(p99, micros(s.times[n*99/100]))
		x.record(requests, float64(s.requests)/float64(n))
		x.record(serverTime, micros(s.cpu)/float64(n))
		x.record(allocations, float64(s.allocs)/float64(n))
	}
	return nil
}

func (s *soloRun) runSlice(ctx context.Context, servers *server) error {
	before, err := servers.count()
	if err != nil {
		return err
	}
	var m1, m2 runtime.MemStats
	runtime.ReadMemStats(&m1)
	for start, now := time.Now(), time.Now(); now.Sub(start) < timeSlice; {
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
	after, err := servers.count()
	if err != nil {
		return err
	}
	spent := after.since(before)
	s.requests += spent.requests(s.system)
	s.cpu += spent.cpu
	s.allocs += m2.Mallocs - m1.Mallocs
	return ctx.Err()
}
