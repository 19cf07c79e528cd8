package main

import (
	"cmp"
	"slices"
	"time"
)

// lockRules checks the promises of all locks.
func lockRules(s *timeline, key string, ttl time.Duration) []violation {
	return slices.Concat(exclusion(s, key), fences(s, key), refusedReleases(s, key, ttl))
}

// finality checks S3: Err does not return nil again after the end of a hold.
func finality(s *timeline) (list []violation) {
	for _, h := range s.list {
		if h.HeldAfterEnd != 0 {
			list = append(list, violated("S3", "Err returned nil at %s ms, after the end of the hold: %v", millis(h.HeldAfterEnd), h))
		}
	}
	return list
}

// exclusion checks S1: the weights of valid holds never exceed the key's capacity, unless the key was lost. It
// looks at the start of each hold, and returns the first violation.
func exclusion(s *timeline, key string) []violation {
	var inside []*interval
	holds := s.sorted(key, func(h *interval) int64 { return h.First }, func(h *interval) bool {
		return h.granted() && h.First < h.Last // otherwise the hold was never seen as valid
	})
	for _, h := range holds {
		// A hold that ends when another starts does not overlap it.
		inside = append(slices.DeleteFunc(inside, func(o *interval) bool { return o.Last <= h.First }), h)
		slices.SortFunc(inside, func(a, b *interval) int { return cmp.Compare(b.Last, a.Last) })
		weight, until := int32(0), h.First
		for _, o := range inside { // from the one that ends last
			if weight += o.Weight; weight > workloadOf(key).capacity {
				until = max(until, o.Last)
			}
		}
		if until > h.First && !s.excusedThroughout(key, h.First, until) {
			text := ""
			for _, o := range inside {
				text += "\n    " + o.String()
			}
			return []violation{violated("S1", "%s: holds of %d with a capacity of %d from %s to %s ms:%s", key, weight, workloadOf(key).capacity,
				millis(h.First), millis(until), text)}
		}
	}
	return nil
}

// excusedThroughout reports whether excused losses of the key cover the whole period.
func (s *timeline) excusedThroughout(key string, from, to int64) bool {
	for _, v := range s.excuses(key, from, to) {
		if v.from <= from {
			from = max(from, v.to)
		}
	}
	return from >= to
}

// fences checks S2: a fence belongs to one hold, and is above the fences of all holds that were returned
// before its request. A reader's fence is above those of earlier writers. A semaphore's fences are unique.
func fences(s *timeline, key string) (list []violation) {
	withFence := func(h *interval) bool { return h.granted() && h.Fence != 0 }
	holds := s.sorted(key, func(h *interval) int64 { return h.Requested }, withFence)
	byFence := map[int64]*interval{}
	for _, h := range holds {
		if key[0] == 'r' && h.Weight == 1 {
			continue
		}
		if other := byFence[h.Fence]; other != nil {
			list = append(list, violated("S2", "%s: two holds with one fence:\n    %v\n    %v", key, other, h))
		}
		byFence[h.Fence] = h
	}
	if !workloadOf(key).ordered {
		return list
	}
	returned := s.sorted(key, replied, withFence)
	var highest, written *interval
	for _, h := range holds {
		for len(returned) > 0 && returned[0].Replied < h.Requested {
			r := returned[0]
			returned = returned[1:]
			if highest == nil || r.Fence > highest.Fence {
				highest = r
			}
			if r.Weight == workloadOf(key).capacity && (written == nil || r.Fence > written.Fence) {
				written = r
			}
		}
		above := highest
		if h.Weight < workloadOf(key).capacity {
			above = written
		}
		if above != nil && h.Fence <= above.Fence && !s.inherited(h) {
			list = append(list, violated("S2", "%s: the fence decreases:\n    %v\n    %v", key, above, h))
		}
	}
	return list
}

// inherited reports whether the hold was granted inside the process, under a claim that Redis may have
// lost. Its fence belongs to that claim and is below later grants, so the storage rejects its writes.
func (s *timeline) inherited(h *interval) bool {
	return s.isExcused(h.key(), h.Replied, h.Replied+1) && slices.ContainsFunc(s.list, func(o *interval) bool {
		return o.key() == h.key() && o.Worker == h.Worker && o.granted() && o.Replied < h.Replied && o.Fence>>10 == h.Fence>>10 && o.Fence < h.Fence
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
		fresh := h.Fence&1023 == 0 &&
			time.Duration(h.Released-h.Replied) < ttl/6 && time.Duration(h.Released-h.Requested) < ttl/3
		if h.granted() && h.End == lost && h.LossReported == 0 && fresh && !s.isExcused(key, h.Requested, h.Released) {
			list = append(list, violated("E", "%s: the release of a held lock failed: %v", key, h))
		}
	}
	return list
}
