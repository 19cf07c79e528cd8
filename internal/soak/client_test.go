package main

import (
	"testing"
	"time"
)

// TestContextIsNotBelievedAfterPause stops a process for a second: from the end of the pause, as
// from the begin of a task, timers have 50 ms to fire.
func TestContextIsNotBelievedAfterPause(t *testing.T) {
	var p pauses
	looks := func(from, to time.Duration) (believed time.Duration) {
		for at := from; at < to; at += look {
			if p.timersFired(int64(at)) && believed == 0 {
				believed = at
			}
		}
		return believed
	}
	const begin, pause = time.Second, 2 * time.Second
	for _, from := range []time.Duration{begin, pause} {
		first := looks(from, from+500*time.Millisecond)
		if first < from+50*time.Millisecond || first > from+60*time.Millisecond {
			t.Errorf("the looks from %v on count from %v on", from, first)
		}
	}
}
