package main

import (
	"cmp"
	"slices"
	"time"
)

// few violations of a kind tell as much as many.
const few = 3

// lockRules are what holds of a lock promise, at any time.
func lockRules(s *timeline, key string, ttl time.Duration) []violation {
	return slices.Concat(exclusion(s, key), fences(s, key), refusals(s, key, ttl))
}

// finality is S3: what has ended is not believed in again.
func finality(s *timeline) (list []violation) {
	for _, h := range s.list {
		if h.revived != 0 {
			list = append(list, violated("S3", "believed in at %.3f ms, after its end: %v", float64(h.revived)/1e6, h))
		}
	}
	return list
}

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
		if held <= workloadOf(key).capacity || i+1 == len(edges) || covered(s, key, e.t, edges[i+1].t) {
			continue
		}
		text := ""
		for h := range inside {
			text += "\n    " + h.String()
		}
		list = append(list, violated("S1", "%s: %d of %d held from %.3f to %.3f ms:%s", key, held, workloadOf(key).capacity,
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

// fences is S2: a fence is of one hold, and above those of all holds that had been
// returned when it was asked for. That of readers is above those of writers, and
// that of a semaphore's hold is a name.
func fences(s *timeline, key string) (list []violation) {
	holds := slices.DeleteFunc(s.of(key), func(h *interval) bool { return !h.granted() || h.fence == 0 })
	whose := map[int64]*interval{}
	for _, h := range holds {
		if key[0] == 'r' && h.weight == 1 {
			continue
		}
		if other := whose[h.fence]; other != nil {
			list = append(list, violated("S2", "%s: a fence twice:\n    %v\n    %v", key, other, h))
		}
		whose[h.fence] = h
	}
	if !workloadOf(key).ordered {
		return list
	}
	returned := slices.Clone(holds)
	slices.SortFunc(returned, func(a, b *interval) int { return cmp.Compare(a.answered, b.answered) })
	var highest, written *interval
	for _, h := range holds {
		for len(returned) > 0 && returned[0].answered < h.asked {
			r := returned[0]
			returned = returned[1:]
			if highest == nil || r.fence > highest.fence {
				highest = r
			}
			if r.weight == workloadOf(key).capacity && (written == nil || r.fence > written.fence) {
				written = r
			}
		}
		above := highest
		if h.weight < workloadOf(key).capacity {
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
	return s.isExcused(h.key, h.answered, h.answered+1) && slices.ContainsFunc(s.list, func(o *interval) bool {
		return o.key == h.key && o.worker == h.worker && o.granted() && o.answered < h.answered && o.fence>>10 == h.fence>>10 && o.fence < h.fence
	})
}

// refusals are releases that were told that the lock was not held, when it was: of a
// claim's first hold, granted so recently that its window cannot be over. Since when it
// was granted is not known: before the answer was written down, by as much as the machine
// was late to run the process, but not before it was asked for. So both must be recent;
// the answer more so, as what is handed over may have but a third of its window left.
// Those of a pool are not judged: one on several keys ends with that which was had first.
func refusals(s *timeline, key string, ttl time.Duration) (list []violation) {
	if key[0] == 'p' {
		return nil
	}
	for _, h := range s.of(key) {
		fresh := h.fence&1023 == 0 &&
			time.Duration(h.released-h.answered) < ttl/6 && time.Duration(h.released-h.asked) < ttl/3
		if h.granted() && h.end == lost && h.lossReported == 0 && fresh && !s.isExcused(key, h.asked, h.released) {
			list = append(list, violated("E", "%s: a release was refused: %v", key, h))
		}
	}
	return list
}
