package main

import (
	"cmp"
	"slices"
	"time"
)

// few violations of a kind tell as much as many.
const few = 3

// exclusion is S1: at no time are holds believed in whose weights together are more
// than the key's capacity, but where the key was lost.
func exclusion(s *story, key string) (list []violation) {
	type edge struct {
		t    int64
		from bool
		of   *span
	}
	var edges []edge
	for _, h := range s.of(key) {
		if h.granted() && h.first < h.last { // else it was believed in for no time
			edges = append(edges, edge{h.first, true, h}, edge{h.last, false, h})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := cmp.Compare(a.t, b.t); c != 0 || a.from == b.from {
			return c
		}
		if a.from { // what ends as another begins does not overlap it
			return 1
		}
		return -1
	})
	held, inside := int32(0), map[*span]bool{}
	for i, e := range edges {
		if e.from {
			held += e.of.weight
			inside[e.of] = true
		} else {
			held -= e.of.weight
			delete(inside, e.of)
		}
		if held <= capacity(key) || i+1 == len(edges) || covered(s, key, e.t, edges[i+1].t) {
			continue
		}
		text := ""
		for h := range inside {
			text += "\n    " + h.String()
		}
		list = append(list, violated("S1", "%s: %d of %d held from %.3f to %.3f ms:%s", key, held, capacity(key),
			float64(e.t)/1e6, float64(edges[i+1].t)/1e6, text))
		if len(list) == few {
			break
		}
	}
	return list
}

// covered tells whether voids of the key cover the whole time.
func covered(s *story, key string, from, to int64) bool {
	for _, v := range s.sorted(key) {
		if v.from <= from {
			from = max(from, v.to)
		}
	}
	return from >= to
}

// fences is S2: a fence is of one hold, and above those of all holds that had been
// returned when it was asked for. That of readers is above those of writers, and
// that of a semaphore's hold is a name.
func fences(s *story, key string) (list []violation) {
	asked := s.of(key)
	asked = slices.DeleteFunc(asked, func(h *span) bool { return !h.granted() || h.fence == 0 })
	whose := map[int64]*span{}
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
	slices.SortFunc(returned, func(a, b *span) int { return cmp.Compare(a.answered, b.answered) })
	var highest, written *span
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
		if above != nil && h.fence <= above.fence {
			list = append(list, violated("S2", "%s: a fence goes back:\n    %v\n    %v", key, above, h))
		}
	}
	return list
}

// finality is S3, as far as workers can see it: what has ended is not believed in
// again.
func finality(s *story) (list []violation) {
	for _, h := range s.list {
		if h.revived != 0 {
			list = append(list, violated("S3", "believed in at %.3f ms, after its end: %v", float64(h.revived)/1e6, h))
		}
	}
	return list
}

// refusals are releases that were told that the lock was not held, when it was: of a
// claim's first hold, granted so recently that its window cannot be over.
func refusals(s *story, key string, ttl time.Duration) (list []violation) {
	for _, h := range s.of(key) {
		if h.granted() && h.end == lost && h.told == 0 && h.fence&1023 == 0 && time.Duration(h.released-h.answered) < ttl/6 && !s.voided(key, h.asked, h.released) {
			list = append(list, violated("E", "%s: a release was refused: %v", key, h))
		}
	}
	return list
}

func (s *story) sorted(key string) (list []void) {
	for _, v := range s.voids {
		if v.key == "" || v.key == key {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b void) int { return cmp.Compare(a.from, b.from) })
	return list
}
