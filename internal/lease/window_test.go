package lease

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Now()
	w := newWindow(now, 10*time.Second)
	if got, want := w.left(now), 10*time.Second-100*time.Millisecond-3*time.Millisecond; got != want {
		t.Errorf("%v left at the start, want %v", got, want)
	}
	if got := w.left(now.Add(time.Minute)); got > 0 {
		t.Errorf("%v left after a minute", got)
	}
	// A time without its monotonic reading is one of the wall clock alone. While a
	// machine is suspended only that clock runs on; set back, it must not add time.
	monotonicOnly := window{start: now, length: w.length}
	monotonicOnly.start = now.Add(-time.Minute)
	if got := monotonicOnly.left(now); got > 0 {
		t.Errorf("%v left a minute after the start", got)
	}
	if got := (window{}).left(now); got > 0 {
		t.Errorf("%v left of no window", got)
	}
}
