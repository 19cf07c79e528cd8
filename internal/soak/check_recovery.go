package main

import (
	"fmt"
	"time"
)

// A delay is the time from the end of a fault to the next grant of a key.
type delay struct {
	key   string
	took  time.Duration
	bound time.Duration // without slack for the machine
}

func (d delay) String() string {
	return fmt.Sprintf("%s %v of %v", d.key, d.took.Round(time.Millisecond), d.bound.Round(time.Millisecond))
}

// slack is added to each bound for a busy machine with few processors. Stalls of the soak itself are
// added too.
const slack = 2500 * time.Millisecond

// recovery returns the delay of each key. A key without a grant has a delay until now. The bound includes
// the longest hold that may have started just before.
func recovery(s *timeline, names []string, healed, until int64, bound time.Duration, longest func(key string) time.Duration) (list []delay) {
	first := map[string]int64{}
	for _, h := range s.list {
		if h.granted() && h.weight != wait && h.replied > healed && (first[h.key] == 0 || h.replied < first[h.key]) {
			first[h.key] = h.replied
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
			from, to := h.requested, h.released
			if died := s.died(h); to == 0 && died != 0 {
				to = died + int64(ttl)
			} else if to == 0 {
				to = until
			}
			if h.weight != wait && from <= since && since < to {
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
		if h.requested < healed && h.replied == 0 && s.died(h) == 0 {
			list = append(list, h)
		}
	}
	return list
}
