package main

import (
	"cmp"
	"slices"
	"time"
)

// waitGroupRules checks that no wait ends before a time without counted tasks. A task certainly counts
// from the start of its function to its end, or to the last time that its ctx was not canceled.
func waitGroupRules(s *timeline, key string, _ time.Duration) (list []violation) {
	type busyTime struct{ from, to int64 }
	var busy []busyTime
	for _, h := range s.intervals(key) {
		if h.weight == wait || !h.granted() {
			continue
		}
		to := h.last
		if h.release != 0 && h.end == ok {
			to = h.release
		}
		if to > h.replied {
			busy = append(busy, busyTime{h.replied, to})
		}
	}
	slices.SortFunc(busy, func(a, b busyTime) int { return cmp.Compare(a.from, b.from) })
	for _, h := range s.intervals(key) {
		if h.weight != wait || h.result != ok && h.result != abandoned || s.isExcused(key, h.requested, h.replied) {
			continue
		}
		covered := h.requested // tasks were counted from h.requested until this time
		for _, b := range busy {
			if b.from <= covered {
				covered = max(covered, b.to)
			}
		}
		if covered >= h.replied {
			list = append(list, violated("WaitGroup", "a wait ended although tasks were counted all the time: %v", h))
		}
	}
	return list
}

// abandonedBounds returns bounds for the number of tasks that Redis may have counted as abandoned. The
// minimum counts tasks whose worker died before Done, and reported losses. The maximum also counts tasks
// with an unknown outcome, and tasks that expired before their worker received the reply: the worker
// then starts another task.
func abandonedBounds(s *timeline, key string, ttl time.Duration) (least, most int) {
	for _, h := range s.intervals(key) {
		if h.weight == wait {
			continue
		}
		died := s.died(h)
		if start := cmp.Or(h.replied, died); start != 0 {
			most += int(time.Duration(start-h.requested) / ttl)
		}
		switch {
		case h.released != 0 && h.end == ok:
		case h.result == lost || h.end == lost || died != 0 && h.granted() && h.release == 0:
			least++
			most++
		case h.replied != 0 && !h.granted(): // not counted, or undone
			if h.result == unknown || h.result == ctxDone {
				most++
			}
		case died != 0 || h.end == unknown || h.end == ctxDone:
			most++
		}
	}
	return least, most
}

// excessAbandoned returns the waits that reported more abandoned tasks than possible.
func excessAbandoned(s *timeline, key string, most int) (list []violation) {
	for _, h := range s.intervals(key) {
		if h.weight == wait && h.result == abandoned && (h.abandoned < 1 || int(h.abandoned) > most) {
			list = append(list, violated("WaitGroup", "a wait reported %d abandoned tasks, want at most %d: %v", h.abandoned, most, h))
		}
	}
	return list
}
