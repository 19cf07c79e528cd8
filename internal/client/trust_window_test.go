package client

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Now()
	w := NewTrustWindow(now, 10*time.Second)
	if got, want := w.Remaining(now), 10*time.Second-100*time.Millisecond-3*time.Millisecond; got != want {
		t.Errorf("%v left at the start, want %v", got, want)
	}
	if got := w.Remaining(now.Add(time.Minute)); got > 0 {
		t.Errorf("%v left after a minute", got)
	}
	if got := (TrustWindow{}).Remaining(now); got > 0 {
		t.Errorf("%v left of no window", got)
	}
	suspended := w // for a minute, in which the monotonic clock stood still
	suspended.wall -= int64(time.Minute)
	if got := suspended.Remaining(now); got > 0 {
		t.Errorf("%v left after a minute of suspension", got)
	}
	setBack := w // the wall clock, by a minute, and a minute has passed
	setBack.wall += int64(time.Minute)
	if got := setBack.Remaining(now.Add(time.Minute)); got > 0 {
		t.Errorf("%v left after a minute in which the clock was set back", got)
	}
}

// TestNextRenewal: what is renewed in time is renewed three times in a TTL, and what is
// not is tried for until its window ends, ever sooner, but without a rush.
func TestNextRenewal(t *testing.T) {
	for _, ttl := range []time.Duration{MinTTL, 100 * time.Millisecond, 10 * time.Second, 12 * time.Hour} {
		now := time.Now()
		w := NewTrustWindow(now, ttl)
		first := nextRenewal(w, now)
		if first != ttl/3 {
			t.Errorf("what has a TTL of %v is looked at after %v, not after a third", ttl, first)
		}
		looks := 0
		for last := ttl; ; looks++ {
			next := nextRenewal(w, now)
			now = now.Add(next)
			if remaining := w.Remaining(now); remaining <= 0 {
				if remaining < 0 {
					t.Errorf("at a TTL of %v the last look comes %v too late", ttl, -remaining)
				}
				break
			}
			if next > last {
				t.Errorf("at a TTL of %v a look comes after %v, when the one before came after %v", ttl, next, last)
			}
			last = next
		}
		if most := 40; looks < 1 || looks > most {
			t.Errorf("at a TTL of %v there are %d tries in a window, want 1 to %d", ttl, looks, most)
		}
	}
}
