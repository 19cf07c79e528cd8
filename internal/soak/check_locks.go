package main

import (
	"cmp"
	"slices"
	"time"
)

// maxViolations limits the violations of a kind that are reported for a key.
const maxViolations = 3

// lockRules checks the promises of all locks.
func lockRules(s *timeline, key string, ttl time.Duration) []violation {
	return slices.Concat(exclusion(s, key), fences(s, key), refusedReleases(s, key, ttl))
}

// finality checks S3: Err does not return nil again after the end of a hold.
func finality(s *timeline) (list []violation) {
	for _, h := range s.list {
		if h.heldAfterEnd != 0 {
			list = append(list, violated("S3", "Err returned nil at %.3f ms, after the end of the hold: %v", float64(h.heldAfterEnd)/1e6, h))
		}
	}
	return list
}

// exclusion checks S1: the weights of valid holds never exceed the key's capacity, unless the key was lost.
func exclusion(s *timeline, key string) (list []violation) {
	type edge struct {
		t        int64
		from     bool
		interval *interval
	}
	var edges []edge
	for _, h := range s.intervals(key) {
		if h.granted() && h.first < h.last { // otherwise the hold was never seen as valid
			edges = append(edges, edge{h.first, true, h}, edge{h.last, false, h})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := cmp.Compare(a.t, b.t); c != 0 || a.from == b.from {
			return c
		}
		if a.from { // a hold that starts at the end of another does not overlap it
			return 1
		}
		return -1
	})
	held, inside := int32(0), map[*interval]bool{}
	for i, e := range edges {
		if e.from {
			held += e.interval.weight
			inside[e.interval] = true
		} else {
			held -= e.interval.weight
			delete(inside, e.interval)
		}
		if held <= workloadOf(key).capacity || i+1 == len(edges) || excusedThroughout(s, key, e.t, edges[i+1].t) {
			continue
		}
		text := ""
		for h := range inside {
			text += "\n    " + h.String()
		}
		list = append(list, violated("S1", "%s: holds of %d with a capacity of %d from %.3f to %.3f ms:%s", key, held, workloadOf(key).capacity,
			float64(e.t)/1e6, float64(edges[i+1].t)/1e6, text))
		if len(list) == maxViolations {
			break
		}
	}
	return list
}

// excusedThroughout reports whether excused losses of the key cover the whole period.
func excusedThroughout(s *timeline, key string, from, to int64) bool {
	for _, v := range s.sortedExcuses(key) {
		if v.from <= from {
			from = max(from, v.to)
		}
	}
	return from >= to
}

// fences checks S2: a fence belongs to one hold, and is above the fences of all holds that were returned
// before its request. A reader's fence is above those of earlier writers. A semaphore's fences are unique.
func fences(s *timeline, key string) (list []violation) {
	holds := slices.DeleteFunc(s.intervals(key), func(h *interval) bool { return !h.granted() || h.fence == 0 })
	byFence := map[int64]*interval{}
	for _, h := range holds {
		if key[0] == 'r' && h.weight == 1 {
			continue
		}
		if other := byFence[h.fence]; other != nil {
			list = append(list, violated("S2", "%s: two holds with one fence:\n    %v\n    %v", key, other, h))
		}
		byFence[h.fence] = h
	}
	if !workloadOf(key).ordered {
		return list
	}
	returned := slices.Clone(holds)
	slices.SortFunc(returned, func(a, b *interval) int { return cmp.Compare(a.replied, b.replied) })
	var highest, written *interval
	for _, h := range holds {
		for len(returned) > 0 && returned[0].replied < h.requested {
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
			list = append(list, violated("S2", "%s: the fence decreases:\n    %v\n    %v", key, above, h))
		}
	}
	return list
}

// inherited reports whether the hold was granted inside the process, under a claim that Redis may have
// lost. Its fence belongs to that claim and is below later grants, so the storage rejects its writes.
func (s *timeline) inherited(h *interval) bool {
	return s.isExcused(h.key, h.replied, h.replied+1) && slices.ContainsFunc(s.list, func(o *interval) bool {
		return o.key == h.key && o.worker == h.worker && o.granted() && o.replied < h.replied && o.fence>>10 == h.fence>>10 && o.fence < h.fence
	})
}

// refusedReleases returns releases that failed with "not held" although the lock was held. It checks the
// first hold of a claim whose window cannot have ended. The time of the grant is not known exactly: it is
// after the request, and before the reply was recorded, possibly late. So both times must be recent, and
// the reply more so, because a hand-over may have only a third of its window left. Pools are not checked:
// a hold on several keys ends with the first key.
func refusedReleases(s *timeline, key string, ttl time.Duration) (list []violation) {
	if key[0] == 'p' {
		return nil
	}
	for _, h := range s.intervals(key) {
		fresh := h.fence&1023 == 0 &&
			time.Duration(h.released-h.replied) < ttl/6 && time.Duration(h.released-h.requested) < ttl/3
		if h.granted() && h.end == lost && h.lossReported == 0 && fresh && !s.isExcused(key, h.requested, h.released) {
			list = append(list, violated("E", "%s: the release of a held lock failed: %v", key, h))
		}
	}
	return list
}
