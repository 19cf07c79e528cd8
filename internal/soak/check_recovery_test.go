package main

import (
	"testing"
	"time"
)

func TestRecoveryDetectsViolations(t *testing.T) {
	const bound = 100 * time.Millisecond
	longest := func(string) time.Duration { return 20 * time.Millisecond }
	unanswered := &interval{key: "m0", requested: 15 * ms}
	s := newTimeline(hold("m0", 1, 10, 12, 1), hold("m0", 1, 30, 35, 2), hold("m0", 1, 40, 45, 2), unanswered)
	got := recovery(s, []string{"m0", "m1"}, 20*ms, 500*ms, bound, longest)
	if got[0].took != 10*time.Millisecond || got[0].bound != 120*time.Millisecond {
		t.Errorf("m0 took %v", got[0])
	}
	if got[1].took != 480*time.Millisecond {
		t.Errorf("m1, without a grant, took %v", got[1])
	}
	if list := stranded(s, 20*ms); len(list) != 1 || list[0] != unanswered {
		t.Errorf("stranded are %v", list)
	}
	if list := stranded(s, 14*ms); len(list) != 0 {
		t.Errorf("stranded are %v, which was requested after the fault", list)
	}
	if list := stranded(s.kill(16), 20*ms); len(list) != 0 {
		t.Errorf("stranded are %v, whose worker is dead", list)
	}
}

// TestFirstFree: a wait for a generation is not stranded while tasks follow one another.
func TestFirstFree(t *testing.T) {
	const ttl = 100 * time.Millisecond
	busy := func() *timeline {
		return newTimeline(hold("w0", 1, 10, 12, 1), hold("w0", 1, 13, 20, 1), hold("w0", 1, 40, 45, 1))
	}
	for since, want := range map[int64]int64{5: 5, 9: 21, 11: 21, 25: 25, 42: 46, 60: 60} {
		if got := busy().firstFree("w0", since*ms, 500*ms, ttl); got != want*ms {
			t.Errorf("since %d ms: free from %d ms, want %d", since, got/ms, want)
		}
	}
	running := crashed(hold("w0", 1, 42, 50, 1))
	if got := newTimeline(running).firstFree("w0", 43*ms, 500*ms, ttl); got != 500*ms {
		t.Errorf("a running task counts until %d ms", got/ms)
	}
	if got := newTimeline(running).kill(60).firstFree("w0", 43*ms, 500*ms, ttl); got != 160*ms {
		t.Errorf("the task of a dead worker counts until %d ms", got/ms)
	}
}
