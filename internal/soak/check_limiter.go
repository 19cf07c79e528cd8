package main

import (
	"cmp"
	"slices"
	"time"
)

// limiterRules checks that each period has at most burst events plus its length times the rate. An event
// happens between its request and the return of the call.
func limiterRules(s *timeline, key string, _ time.Duration) (list []violation) {
	var events []*interval
	for _, h := range s.intervals(key) {
		if h.granted() {
			events = append(events, h)
		}
	}
	slices.SortFunc(events, func(a, b *interval) int { return cmp.Compare(a.replied, b.replied) })
	const second = 1e9
	for _, first := range events {
		// Check all periods from the request of an event to the return of another. Long periods
		// need no check: a violation also occurs in a shorter one.
		n := 0
		from, _ := slices.BinarySearchFunc(events, first.requested, func(h *interval, t int64) int { return cmp.Compare(h.replied, t) })
		for _, e := range events[from:] {
			if e.requested < first.requested {
				continue
			}
			length := e.replied - first.requested
			if length > 10*second {
				break
			}
			n++
			most := float64(length)*rate/second + burst
			if float64(n) > most+0.001 && !s.isExcused(key, first.requested, e.replied) {
				list = append(list, violated("Limiter", "%d events within %.3f ms, want at most %.2f; the first and the last:\n    %v\n    %v",
					n, float64(length)/1e6, most, first, e))
				break
			}
		}
	}
	return list
}
