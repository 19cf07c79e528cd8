package main

import (
	"cmp"
	"slices"
)

// A timeline has the actions and crashes of all workers of a test run.
type timeline struct {
	byID    map[int64]*interval
	list    []*interval // in the order in which their requests were read
	crashes []crash
	excused []excusedLoss
}

// A crash is the end of a worker by SIGKILL.
type crash struct {
	worker uint8
	t      int64
}

// An excusedLoss is a period in which Redis may have lost a hold, so that another may be granted too. It ends
// when all old holds have ended.
type excusedLoss struct {
	key      string // "" means all keys
	from, to int64
}

func (s *timeline) add(e event) {
	if e.Kind == requested {
		span := &interval{}
		s.byID[e.Hold] = span
		s.list = append(s.list, span)
	}
	s.byID[e.Hold].record(e)
}

// intervals returns the intervals of a key, in the order of their requests.
func (s *timeline) intervals(key string) (list []*interval) {
	for _, span := range s.list {
		if span.key == key {
			list = append(list, span)
		}
	}
	slices.SortFunc(list, func(a, b *interval) int { return cmp.Compare(a.requested, b.requested) })
	return list
}

// died returns when the worker was killed after the request, or 0.
func (s *timeline) died(h *interval) int64 {
	for _, d := range s.crashes {
		if d.worker == h.worker && d.t >= h.requested {
			return d.t
		}
	}
	return 0
}

// grants returns the number of grants in a period, by key, without waits.
func (s *timeline) grants(from, to int64) map[string]int {
	count := map[string]int{}
	for _, span := range s.list {
		if span.granted() && span.weight != wait && span.replied >= from && span.replied < to {
			count[span.key]++
		}
	}
	return count
}

func (s *timeline) isExcused(key string, from, to int64) bool {
	for _, v := range s.excused {
		if (v.key == "" || v.key == key) && v.from < to && from < v.to {
			return true
		}
	}
	return false
}

// open returns the numbers of holds and requests that are open when a worker is killed or stopped at a time.
// Earlier generations of the worker do not count.
func (s *timeline) open(worker uint8, at int64) (held, queued int) {
	for _, h := range s.list {
		if h.worker != worker || h.released != 0 || h.weight == wait || h.requested > at {
			continue
		}
		if d := s.died(h); d != 0 && d != at {
			continue
		}
		switch {
		case h.replied == 0:
			queued++
		case h.granted() && h.key[0] != 'l':
			held++
		}
	}
	return held, queued
}

// has reports whether the worker holds the key, or has an open request of a limiter.
func (s *timeline) has(worker uint8, key string) bool {
	for _, h := range s.list {
		if h.worker == worker && h.key == key && h.weight != wait && h.released == 0 && s.died(h) == 0 && (h.granted() && key[0] != 'l' || h.replied == 0 && key[0] == 'l') {
			return true
		}
	}
	return false
}

// sortedExcuses returns the excused losses of a key, sorted by start.
func (s *timeline) sortedExcuses(key string) (list []excusedLoss) {
	for _, v := range s.excused {
		if v.key == "" || v.key == key {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b excusedLoss) int { return cmp.Compare(a.from, b.from) })
	return list
}
