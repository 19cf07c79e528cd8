package main

import (
	"cmp"
	"slices"
	"time"
)

// onceRules are what a Once promises: those of a lock, and its interval.
func onceRules(s *timeline, key string, ttl time.Duration) []violation {
	return append(lockRules(s, key, ttl), onceAnInterval(s, key)...)
}

// onceAnInterval is the promise of Every: the runs that were marked begin that far apart, by the
// server's clock. A run begins there at some time between its request and the call of its function.
func onceAnInterval(s *timeline, key string) (list []violation) {
	marked := slices.DeleteFunc(s.of(key), func(h *interval) bool { return !h.marked })
	slices.SortFunc(marked, func(a, b *interval) int { return cmp.Compare(a.answered, b.answered) })
	for i, h := range marked {
		if i > 0 && h.answered-marked[i-1].asked < int64(every) && !s.isExcused(key, marked[i-1].asked, h.answered) {
			list = append(list, violated("Once", "%s: two runs within %v:\n    %v\n    %v", key, every, marked[i-1], h))
		}
	}
	return list
}
