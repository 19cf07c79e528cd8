package main

import (
	"cmp"
	"slices"
	"time"
)

// pace is the limiter's promise: of the events of any time, no more than its length
// times the rate, and the burst. An event has its turn at some time between its
// request and the return of that.
func pace(s *timeline, key string, _ time.Duration) (list []violation) {
	var events []*interval
	for _, h := range s.of(key) {
		if h.granted() {
			events = append(events, h)
		}
	}
	slices.SortFunc(events, func(a, b *interval) int { return cmp.Compare(a.answered, b.answered) })
	const second = 1e9
	for _, first := range events {
		// All windows that begin with the request of an event and end with the return
		// of one. Long ones need no look: a shorter one in them has too many as well.
		n := 0
		from, _ := slices.BinarySearchFunc(events, first.asked, func(h *interval, t int64) int { return cmp.Compare(h.answered, t) })
		for _, e := range events[from:] {
			if e.asked < first.asked {
				continue
			}
			length := e.answered - first.asked
			if length > 10*second {
				break
			}
			n++
			most := float64(length)*rate/second + burst
			if float64(n) > most+0.001 && !s.isExcused(key, first.asked, e.answered) {
				list = append(list, violated("Limiter", "%d events within %.3f ms, of which there may be %.2f; the first and the last:\n    %v\n    %v",
					n, float64(length)/1e6, most, first, e))
				break
			}
		}
	}
	return list
}
