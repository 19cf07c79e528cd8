package main

import "time"

// recovery returns the delay of each key. A key without a grant has a delay until now. The bound includes
// the longest hold that may have started just before.
func recovery(s *timeline, names []string, healed, until int64, bound time.Duration, longest func(key string) time.Duration) (list []delay) {
	first := map[string]int64{}
	for _, h := range s.list {
		if h.granted() && h.Weight != wait && h.Replied > healed && (first[h.key()] == 0 || h.Replied < first[h.key()]) {
			first[h.key()] = h.Replied
		}
	}
	for _, key := range names {
		if first[key] == 0 {
			first[key] = until
		}
		list = append(list, delay{key, time.Duration(first[key] - healed), bound + longest(key)})
	}
	return list
}

// firstFree returns the first time after since at which the key certainly has no hold or task, or until. A
// wait for the end of a generation must last at least until then. Holds of a dead worker last for a TTL.
func (s *timeline) firstFree(key string, since, until int64, ttl time.Duration) int64 {
	for again := true; again && since < until; {
		again = false
		for _, h := range s.intervals(key) {
			to := h.Released
			if died := s.died(h); to == 0 && died != 0 {
				to = died + int64(ttl)
			} else if to == 0 {
				to = until
			}
			if h.Weight != wait && h.Requested <= since && since < to {
				since, again = to, true
			}
		}
	}
	return min(since, until)
}

// stranded returns the requests from before the end of the fault that have no reply, although their worker
// is alive.
func stranded(s *timeline, healed int64) (list []*interval) {
	for _, h := range s.list {
		if h.Requested < healed && h.Replied == 0 && s.died(h) == 0 {
			list = append(list, h)
		}
	}
	return list
}
