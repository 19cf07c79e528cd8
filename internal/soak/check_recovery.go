package main

import (
	"fmt"
	"time"
)

// A delay is how long a key took to be granted again after a fault.
type delay struct {
	key   string
	took  time.Duration
	bound time.Duration // as promised, without slack for the machine
}

func (d delay) String() string {
	return fmt.Sprintf("%s %v of %v", d.key, d.took.Round(time.Millisecond), d.bound.Round(time.Millisecond))
}

// slack is what a machine with few processors, on which others work too, may add to
// any bound. The time for which the soak itself did not run comes to that.
const slack = 2500 * time.Millisecond

// recovery is how long each key took after the fault to be granted. One that was not
// at all has taken until now. To the bound comes the time for which somebody may be
// inside who was let in just before.
func recovery(s *timeline, names []string, healed, until int64, bound time.Duration, longest func(key string) time.Duration) (list []delay) {
	first := map[string]int64{}
	for _, h := range s.list {
		if h.granted() && h.weight != wait && h.answered > healed && (first[h.key] == 0 || h.answered < first[h.key]) {
			first[h.key] = h.answered
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

// free is the first time since then at which nothing of the key is held or counted, for
// all that is known, or else until: who waits for the end of a round has that to wait for.
// What a dead worker had is counted for a TTL.
func (s *timeline) free(key string, since, until int64, ttl time.Duration) int64 {
	for again := true; again && since < until; {
		again = false
		for _, h := range s.of(key) {
			from, to := h.asked, h.released
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

// stranded are requests of before the fault's end that have no answer, though their
// worker lives.
func stranded(s *timeline, healed int64) (list []*interval) {
	for _, h := range s.list {
		if h.asked < healed && h.answered == 0 && s.died(h) == 0 {
			list = append(list, h)
		}
	}
	return list
}
