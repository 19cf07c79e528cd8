package main

import (
	"cmp"
	"slices"
	"time"
)

// rounds is what a wait group promises: no wait is over before there has been a time at
// which nothing was counted. What a task is counted for without a doubt is from the
// begin of its function to its end, or to the last time that it was believed in.
func rounds(s *timeline, key string, _ time.Duration) (list []violation) {
	type busyTime struct{ from, to int64 }
	var busy []busyTime
	for _, h := range s.of(key) {
		if h.weight == wait || !h.granted() {
			continue
		}
		to := h.last
		if h.release != 0 && h.end == ok {
			to = h.release
		}
		if to > h.answered {
			busy = append(busy, busyTime{h.answered, to})
		}
	}
	slices.SortFunc(busy, func(a, b busyTime) int { return cmp.Compare(a.from, b.from) })
	for _, h := range s.of(key) {
		if h.weight != wait || h.result != ok && h.result != abandoned || s.isExcused(key, h.asked, h.answered) {
			continue
		}
		covered := h.asked // something was counted from asked until then
		for _, b := range busy {
			if b.from <= covered {
				covered = max(covered, b.to)
			}
		}
		if covered >= h.answered {
			list = append(list, violated("WaitGroup", "a wait was over though tasks were counted all the time: %v", h))
		}
	}
	return list
}

// losses bounds how many tasks Redis may have counted as abandoned: at least those that
// were counted and whose worker died before it called Done, or that were told of their
// loss; at most also those of which nobody knows. One that has run out before its worker
// heard that it was counted is among them: the worker then begins another.
func losses(s *timeline, key string, ttl time.Duration) (least, most int) {
	for _, h := range s.of(key) {
		if h.weight == wait {
			continue
		}
		died := s.died(h)
		if begun := cmp.Or(h.answered, died); begun != 0 {
			most += int(time.Duration(begun-h.asked) / ttl)
		}
		switch {
		case h.released != 0 && h.end == ok:
		case h.result == lost || h.end == lost || died != 0 && h.granted() && h.release == 0:
			least++
			most++
		case h.answered != 0 && !h.granted(): // never counted, or taken back
			if h.result == unsure || h.result == ended {
				most++
			}
		case died != 0 || h.end == unsure || h.end == ended:
			most++
		}
	}
	return least, most
}

// overstated finds what waits were told of more abandoned tasks than there can be.
func overstated(s *timeline, key string, most int) (list []violation) {
	for _, h := range s.of(key) {
		if h.weight == wait && h.result == abandoned && (h.abandoned < 1 || int(h.abandoned) > most) {
			list = append(list, violated("WaitGroup", "a wait was told of %d abandoned tasks, of which there were at most %d: %v", h.abandoned, most, h))
		}
	}
	return list
}
