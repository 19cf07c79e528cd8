package main

import (
	"cmp"
	"time"
)

// waitGroupRules checks that no wait ends before a time without counted tasks. A task certainly counts
// from the start of its function to its end, or to the last time that its ctx was not canceled.
func waitGroupRules(s *timeline, key string, _ time.Duration) (list []violation) {
	tasks := s.sorted(key, replied, func(h *interval) bool { return h.Weight != wait && h.granted() })
	for _, h := range s.intervals(key) {
		if h.Weight != wait || h.Result != ok && h.Result != abandoned || s.isExcused(key, h.Requested, h.Replied) {
			continue
		}
		covered := h.Requested // tasks were counted from h.Requested until this time
		for _, task := range tasks {
			end := task.Last
			if task.Release != 0 && task.End == ok {
				end = task.Release
			}
			if task.Replied <= covered {
				covered = max(covered, end)
			}
		}
		if covered >= h.Replied {
			list = append(list, violated("WaitGroup", "a wait ended although tasks were counted all the time: %v", h))
		}
	}
	return list
}

// abandonedRules compares bounds for the number of abandoned tasks with Redis' count, if it is known, and with
// the waits' reports.
func abandonedRules(s *timeline, key string, ttl time.Duration, count int, known bool) (list []violation) {
	least, most := abandonedBounds(s, key, ttl)
	if known && (count < least || count > most) {
		list = append(list, violated("WaitGroup", "%s: Redis has counted %d tasks as abandoned, want %d to %d", key, count, least, most))
	}
	for _, h := range s.intervals(key) {
		if h.Weight == wait && h.Result == abandoned && (h.Abandoned < 1 || int(h.Abandoned) > most) {
			list = append(list, violated("WaitGroup", "a wait reported %d abandoned tasks, want at most %d: %v", h.Abandoned, most, h))
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
		if h.Weight == wait {
			continue
		}
		died := s.died(h)
		if start := cmp.Or(h.Replied, died); start != 0 {
			most += int(time.Duration(start-h.Requested) / ttl)
		}
		switch {
		case h.Released != 0 && h.End == ok:
		case h.Result == lost || h.End == lost || died != 0 && h.granted() && h.Release == 0:
			least++
			most++
		case h.Replied != 0 && !h.granted(): // not counted, or undone
			if h.Result == unknown || h.Result == ctxDone {
				most++
			}
		case died != 0 || h.End == unknown || h.End == ctxDone:
			most++
		}
	}
	return least, most
}
