package main

import "time"

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
