package client

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Now()
	w := NewTrustWindow(now, 10*time.Second)
	if got, want := w.Remaining(now), 10*time.Second-100*time.Millisecond-3*time.Millisecond; got != want {
		t.Errorf("at the start: %v remaining, want %v", got, want)
	}
	suspended, setBack := w, w // the monotonic clock stood still, the wall clock was set back
	suspended.wall -= int64(time.Minute)
	setBack.wall += int64(time.Minute)
	for name, remaining := range map[string]time.Duration{
		"after a minute":                 w.Remaining(now.Add(time.Minute)),
		"no window":                      TrustWindow{}.Remaining(now),
		"after a suspension of a minute": suspended.Remaining(now),
		"after a minute, with the clock set back by one": setBack.Remaining(now.Add(time.Minute)),
	} {
		if remaining > 0 {
			t.Errorf("%s: %v remaining", name, remaining)
		}
	}
}

// TestNextRenewal checks that a hold is renewed three times in a TTL. While renewals fail, they are
// retried until the window ends, in ever shorter intervals, but not too often.
func TestNextRenewal(t *testing.T) {
	for _, ttl := range []time.Duration{MinTTL, 100 * time.Millisecond, 10 * time.Second, 12 * time.Hour} {
		now := time.Now()
		w := NewTrustWindow(now, ttl)
		first := nextRenewal(w, now)
		if first != ttl/3 {
			t.Errorf("TTL %v: the first renewal comes after %v, want a third", ttl, first)
		}
		renewals := 0
		for last := ttl; ; renewals++ {
			next := nextRenewal(w, now)
			now = now.Add(next)
			if remaining := w.Remaining(now); remaining <= 0 {
				if remaining < 0 {
					t.Errorf("TTL %v: the last renewal comes %v too late", ttl, -remaining)
				}
				break
			}
			if next > last {
				t.Errorf("TTL %v: an interval of %v after one of %v", ttl, next, last)
			}
			last = next
		}
		if renewals < 1 || renewals > 40 {
			t.Errorf("TTL %v: %d renewals in a window, want 1 to 40", ttl, renewals)
		}
	}
}
