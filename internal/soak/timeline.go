package main

import (
	"cmp"
	"slices"
)

// A timeline is what all workers of an epoch have done, and what was done to them.
type timeline struct {
	spans   map[int64]*interval
	list    []*interval // in the order in which their requests became known
	crashes []crash
	excused []excusedLoss
}

// A crash is the end of a worker by kill −9.
type crash struct {
	worker uint8
	t      int64
}

// An excusedLoss is a time in which Redis does not know of a hold that it has granted, so
// that another may be granted too. It ends when all of the old ones have.
type excusedLoss struct {
	key      string // empty for all
	from, to int64
}

func (s *timeline) add(e event) {
	if e.What == asked {
		span := &interval{}
		s.spans[e.Hold] = span
		s.list = append(s.list, span)
	}
	s.spans[e.Hold].note(e)
}

// of are the spans of a key, in the order of their requests.
func (s *timeline) of(key string) (list []*interval) {
	for _, span := range s.list {
		if span.key == key {
			list = append(list, span)
		}
	}
	slices.SortFunc(list, func(a, b *interval) int { return cmp.Compare(a.asked, b.asked) })
	return list
}

// died is when the worker of the span was killed thereafter, 0 if it was not.
func (s *timeline) died(of *interval) int64 {
	for _, d := range s.crashes {
		if d.worker == of.worker && d.t >= of.asked {
			return d.t
		}
	}
	return 0
}

// grants counts what was granted in a time, by key. A wait is none.
func (s *timeline) grants(from, to int64) map[string]int {
	count := map[string]int{}
	for _, span := range s.list {
		if span.granted() && span.weight != wait && span.answered >= from && span.answered < to {
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

// open counts what a worker, when it dies or stands still at a time, leaves open: holds,
// and requests. Its earlier generations do not count.
func (s *timeline) open(worker uint8, at int64) (held, queued int) {
	for _, h := range s.list {
		if h.worker != worker || h.released != 0 || h.weight == wait || h.asked > at {
			continue
		}
		if d := s.died(h); d != 0 && d != at {
			continue
		}
		switch {
		case h.answered == 0:
			queued++
		case h.granted() && h.key[0] != 'l':
			held++
		}
	}
	return held, queued
}

// has tells whether the worker holds the key, or has a request of a limiter.
func (s *timeline) has(worker uint8, key string) bool {
	for _, h := range s.list {
		if h.worker == worker && h.key == key && h.weight != wait && h.released == 0 && s.died(h) == 0 && (h.granted() && key[0] != 'l' || h.answered == 0 && key[0] == 'l') {
			return true
		}
	}
	return false
}

// sorted are the voids of a key, in the order in which they begin.
func (s *timeline) sorted(key string) (list []excusedLoss) {
	for _, v := range s.excused {
		if v.key == "" || v.key == key {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b excusedLoss) int { return cmp.Compare(a.from, b.from) })
	return list
}
