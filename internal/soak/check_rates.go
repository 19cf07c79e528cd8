package main

import (
	"cmp"
	"slices"
	"time"
)

// limiterRules checks that each period has at most burst events plus its length times the rate. An event
// happens between its request and the return of the call.
func limiterRules(s *timeline, key string, _ time.Duration) (list []violation) {
	events := s.sorted(key, replied, (*interval).granted)
	const second = 1e9
	for _, first := range events {
		// Check all periods from the request of an event to the return of another. Long periods
		// need no check: a violation also occurs in a shorter one.
		n := 0
		from, _ := slices.BinarySearchFunc(events, first.Requested, func(h *interval, t int64) int { return cmp.Compare(h.Replied, t) })
		for _, e := range events[from:] {
			if e.Requested < first.Requested {
				continue
			}
			length := e.Replied - first.Requested
			if length > 10*second {
				break
			}
			n++
			most := float64(length)*rate/second + burst
			if float64(n) > most+0.001 && !s.isExcused(key, first.Requested, e.Replied) {
				list = append(list, violated("Limiter", "%d events within %s ms, want at most %.2f; the first and the last:\n    %v\n    %v", n, millis(length), most, first, e))
				break
			}
		}
	}
	return list
}

// onceRules checks the promises of a Once: those of a lock, and Every: marked runs start at least one interval
// apart, by the server's clock. A run starts between its request and the call of its function.
func onceRules(s *timeline, key string, ttl time.Duration) (list []violation) {
	marked := s.sorted(key, replied, func(h *interval) bool { return h.Marked })
	for i, h := range marked {
		if i > 0 && h.Replied-marked[i-1].Requested < int64(every) && !s.isExcused(key, marked[i-1].Requested, h.Replied) {
			list = append(list, violated("Once", "%s: two runs within %v:\n    %v\n    %v", key, every, marked[i-1], h))
		}
	}
	return append(list, lockRules(s, key, ttl)...)
}
