package redistest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStalled(t *testing.T) {
	begin := time.Now()
	own := Stalled(begin.Add(-time.Hour)) // stalls of this machine so far
	future := begin.Add(time.Hour)        // without other stalls
	addStall(future, time.Millisecond)    // too short
	addStall(future.Add(time.Second), 100*time.Millisecond)
	addStall(future.Add(2*time.Second), 20*time.Millisecond)
	defer func() {
		stalls.Lock()
		defer stalls.Unlock()
		for n := len(stalls.list); n > 0 && stalls.list[n-1].at.After(future); n-- {
			stalls.list = stalls.list[:n-1]
		}
	}()
	for start, want := range map[time.Time]time.Duration{
		future:                      120 * time.Millisecond,
		future.Add(time.Second):     20 * time.Millisecond,
		future.Add(2 * time.Second): 0,
	} {
		if got := Stalled(start); got != want {
			t.Errorf("since %v: %v, want %v", start.Sub(begin), got, want)
		}
	}
	if got := Stalled(begin.Add(-time.Hour)); got < own+120*time.Millisecond {
		t.Errorf("total: %v, and %v before", got, own)
	}
	timed = true
	defer func() { timed = false }()
	if Allowance(future) != hops*120*time.Millisecond {
		t.Errorf("allowance %v", Allowance(future))
	}
	synctest.Test(t, func(t *testing.T) {
		if got := Stalled(time.Now()); got != 0 {
			t.Errorf("in a bubble: %v", got)
		}
	})
}
