package main

import (
	"cmp"
	"slices"
	"time"
)

// onceRules checks the promises of a Once: those of a lock, and its interval.
func onceRules(s *timeline, key string, ttl time.Duration) []violation {
	return append(lockRules(s, key, ttl), onceAnInterval(s, key)...)
}

// onceAnInterval checks Every: marked runs start at least one interval apart, by the server's clock. A run
// starts between its request and the call of its function.
func onceAnInterval(s *timeline, key string) (list []violation) {
	marked := slices.DeleteFunc(s.intervals(key), func(h *interval) bool { return !h.marked })
	slices.SortFunc(marked, func(a, b *interval) int { return cmp.Compare(a.replied, b.replied) })
	for i, h := range marked {
		if i > 0 && h.replied-marked[i-1].requested < int64(every) && !s.isExcused(key, marked[i-1].requested, h.replied) {
			list = append(list, violated("Once", "%s: two runs within %v:\n    %v\n    %v", key, every, marked[i-1], h))
		}
	}
	return list
}
