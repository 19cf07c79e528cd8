package main

import (
	"testing"
	"time"
)

func TestRecoveryBites(t *testing.T) {
	const bound = 100 * time.Millisecond
	longest := func(string) time.Duration { return 20 * time.Millisecond }
	unanswered := &interval{key: "m0", asked: 15 * ms}
	s := forge(hold("m0", 1, 10, 12, 1), hold("m0", 1, 30, 35, 2), hold("m0", 1, 40, 45, 2), unanswered)
	got := recovery(s, []string{"m0", "m1"}, 20*ms, 500*ms, bound, longest)
	if got[0].took != 10*time.Millisecond || got[0].bound != 120*time.Millisecond {
		t.Errorf("m0 took %v", got[0])
	}
	if got[1].took != 480*time.Millisecond {
		t.Errorf("m1, which was not granted, took %v", got[1])
	}
	if list := stranded(s, 20*ms); len(list) != 1 || list[0] != unanswered {
		t.Errorf("stranded are %v", list)
	}
	if list := stranded(s, 14*ms); len(list) != 0 {
		t.Errorf("stranded are %v, though it asked after the fault", list)
	}
	if list := stranded(s.kill(16), 20*ms); len(list) != 0 {
		t.Errorf("stranded are %v, though it is dead", list)
	}
}

// TestFree: who waits for a round is not stranded while tasks follow one another.
func TestFree(t *testing.T) {
	const ttl = 100 * time.Millisecond
	busy := func() *timeline {
		return forge(hold("w0", 1, 10, 12, 1), hold("w0", 1, 13, 20, 1), hold("w0", 1, 40, 45, 1))
	}
	for since, want := range map[int64]int64{5: 5, 9: 21, 11: 21, 25: 25, 42: 46, 60: 60} {
		if got := busy().free("w0", since*ms, 500*ms, ttl); got != want*ms {
			t.Errorf("since %d ms: nothing is counted from %d ms, not %d", since, got/ms, want)
		}
	}
	running := dies(hold("w0", 1, 42, 50, 1))
	if got := forge(running).free("w0", 43*ms, 500*ms, ttl); got != 500*ms {
		t.Errorf("a task that runs is counted until %d ms", got/ms)
	}
	if got := forge(running).kill(60).free("w0", 43*ms, 500*ms, ttl); got != 160*ms {
		t.Errorf("that of a dead worker is counted until %d ms", got/ms)
	}
}
