package redistest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestStalled(t *testing.T) {
	begin := time.Now()
	future := begin.Add(time.Hour)                                                                          // without other stalls
	for i, late := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 20 * time.Millisecond} { // the first is too short
		addStall(future.Add(time.Duration(i)*time.Second), late)
	}
	defer func() {
		timed = false
		stalls.Lock()
		defer stalls.Unlock()
		stalls.list = nil
	}()
	for i, want := range []time.Duration{120 * time.Millisecond, 20 * time.Millisecond, 0} {
		if got := Stalled(future.Add(time.Duration(i) * time.Second)); got != want {
			t.Errorf("since second %d: %v, want %v", i, got, want)
		}
	}
	if timed = true; Allowance(future) != hops*120*time.Millisecond {
		t.Errorf("allowance %v", Allowance(future))
	}
	synctest.Test(t, func(t *testing.T) {
		if got := Stalled(time.Now()); got != 0 {
			t.Errorf("in a bubble: %v", got)
		}
	})
}
