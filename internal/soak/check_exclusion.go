package main

import (
	"cmp"
	"slices"
)

// few violations of a kind tell as much as many.
const few = 3

// exclusion is S1: at no time are holds believed in whose weights together are more
// than the key's capacity, but where the key was lost.
func exclusion(s *timeline, key string) (list []violation) {
	type edge struct {
		t    int64
		from bool
		of   *interval
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
	held, inside := int32(0), map[*interval]bool{}
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
func covered(s *timeline, key string, from, to int64) bool {
	for _, v := range s.sorted(key) {
		if v.from <= from {
			from = max(from, v.to)
		}
	}
	return from >= to
}
