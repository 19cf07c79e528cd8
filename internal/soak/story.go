package main

import (
	"cmp"
	"slices"
)

// A story is what all workers of an epoch have done, and what was done to them.
type story struct {
	spans map[int64]*span
	list  []*span // in the order in which their requests became known
	dead  []death
	voids []void
}

// A death is the end of a worker by kill −9.
type death struct {
	worker uint8
	t      int64
}

// A void is a time in which Redis does not know of a hold that it has granted, so
// that another may be granted too. It ends when all of the old ones have.
type void struct {
	key      string // empty for all
	from, to int64
}

func newStory() *story { return &story{spans: map[int64]*span{}} }

func (s *story) add(e event) {
	if e.What == asked {
		span := &span{}
		s.spans[e.Hold] = span
		s.list = append(s.list, span)
	}
	s.spans[e.Hold].note(e)
}

// of are the spans of a key, in the order of their requests.
func (s *story) of(key string) (list []*span) {
	for _, span := range s.list {
		if span.key == key {
			list = append(list, span)
		}
	}
	slices.SortFunc(list, func(a, b *span) int { return cmp.Compare(a.asked, b.asked) })
	return list
}

// died is when the worker of the span was killed thereafter, 0 if it was not.
func (s *story) died(of *span) int64 {
	for _, d := range s.dead {
		if d.worker == of.worker && d.t >= of.asked {
			return d.t
		}
	}
	return 0
}

// grants counts what was granted in a time, by key. A wait is none.
func (s *story) grants(from, to int64) map[string]int {
	count := map[string]int{}
	for _, span := range s.list {
		if span.granted() && span.weight != wait && span.answered >= from && span.answered < to {
			count[span.key]++
		}
	}
	return count
}

func (s *story) voided(key string, from, to int64) bool {
	for _, v := range s.voids {
		if (v.key == "" || v.key == key) && v.from < to && from < v.to {
			return true
		}
	}
	return false
}

// open counts what a worker, when it dies or stands still at a time, leaves open: holds,
// and requests. Its earlier generations do not count.
func (s *story) open(worker uint8, at int64) (held, queued int) {
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
func (s *story) has(worker uint8, key string) bool {
	for _, h := range s.list {
		if h.worker == worker && h.key == key && h.weight != wait && h.released == 0 && s.died(h) == 0 && (h.granted() && key[0] != 'l' || h.answered == 0 && key[0] == 'l') {
			return true
		}
	}
	return false
}

// sorted are the voids of a key, in the order in which they begin.
func (s *story) sorted(key string) (list []void) {
	for _, v := range s.voids {
		if v.key == "" || v.key == key {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b void) int { return cmp.Compare(a.from, b.from) })
	return list
}
