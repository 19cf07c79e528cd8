package main

import "time"

// refusals are releases that were told that the lock was not held, when it was: of a
// claim's first hold, granted so recently that its window cannot be over.
func refusals(s *story, key string, ttl time.Duration) (list []violation) {
	for _, h := range s.of(key) {
		fresh := h.fence&1023 == 0 && time.Duration(h.released-h.answered) < ttl/6
		if h.granted() && h.end == lost && h.told == 0 && fresh && !s.disturbed(h) {
			list = append(list, violated("E", "%s: a release was refused: %v", key, h))
		}
	}
	return list
}

// disturbed tells whether the hold may have been lost: one of a pool is, if any of
// its keys are.
func (s *story) disturbed(h *span) bool {
	for _, key := range keys {
		if (key == h.key || key[0] == 'p' && h.key[0] == 'p') && s.voided(key, h.asked, h.released) {
			return true
		}
	}
	return false
}
