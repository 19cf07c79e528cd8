package lease

import (
	"testing"
	"time"
)

// TestMultiLeaseTakesOneRoundTrip locks free keys. Up to maxConcurrent requests are in flight at the
// same time, and as many releases.
func TestMultiLeaseTakesOneRoundTrip(t *testing.T) {
	inBubble(t, func(e *env) {
		m, s := e.process()
		const trip = time.Millisecond
		s.latency = func() time.Duration { return trip / 2 }
		for n, trips := range map[int]time.Duration{2: 1, maxConcurrent: 1, 2*maxConcurrent + 1: 3} {
			keys := keysNumbered(n)
			p := params(time.Hour)
			for _, p.Try = range []bool{false, true} {
				before, start := e.redis.requests, time.Now()
				ml := new(MultiLease)
				if err := ml.Acquire(e.Context(), m, p, keys); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != trips*trip {
					t.Errorf("%d keys are locked in %v, want %v", n, took, trips*trip)
				}
				if requests := e.redis.requests - before; requests != n {
					t.Errorf("%d requests for %d keys", requests, n)
				}
				start = time.Now()
				if err := ml.Release(); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != trips*trip {
					t.Errorf("%d keys are unlocked in %v, want %v", n, took, trips*trip)
				}
			}
		}
	})
}
