package main

import (
	"cmp"
	"slices"
)

// fences is S2: a fence is of one hold, and above those of all holds that had been
// returned when it was asked for. That of readers is above those of writers, and
// that of a semaphore's hold is a name.
func fences(s *timeline, key string) (list []violation) {
	asked := s.of(key)
	asked = slices.DeleteFunc(asked, func(h *interval) bool { return !h.granted() || h.fence == 0 })
	whose := map[int64]*interval{}
	for _, h := range asked {
		if key[0] == 'r' && h.weight == 1 {
			continue
		}
		if other := whose[h.fence]; other != nil {
			list = append(list, violated("S2", "%s: a fence twice:\n    %v\n    %v", key, other, h))
		}
		whose[h.fence] = h
	}
	if !exclusive(key) {
		return list
	}
	returned := slices.Clone(asked)
	slices.SortFunc(returned, func(a, b *interval) int { return cmp.Compare(a.answered, b.answered) })
	var highest, written *interval
	for _, h := range asked {
		for len(returned) > 0 && returned[0].answered < h.asked {
			r := returned[0]
			returned = returned[1:]
			if highest == nil || r.fence > highest.fence {
				highest = r
			}
			if r.weight == capacity(key) && (written == nil || r.fence > written.fence) {
				written = r
			}
		}
		above := highest
		if h.weight < capacity(key) {
			above = written
		}
		if above != nil && h.fence <= above.fence && !s.inherited(h) {
			list = append(list, violated("S2", "%s: a fence goes back:\n    %v\n    %v", key, above, h))
		}
	}
	return list
}

// inherited tells whether the hold came, inside its process, of a claim that Redis may
// have forgotten. Its fence is of that claim, and below what others were given since:
// that is what has storage refuse it.
func (s *timeline) inherited(h *interval) bool {
	if !s.isExcused(h.key, h.answered, h.answered+1) {
		return false
	}
	for _, o := range s.list {
		if o.key == h.key && o.worker == h.worker && o.granted() && o.answered < h.answered && o.fence>>10 == h.fence>>10 && o.fence < h.fence {
			return true
		}
	}
	return false
}
