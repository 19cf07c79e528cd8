package client

import "time"

// MinTTL is the shortest TTL that leaves a window to hold in, after the margin for clock drift.
const MinTTL = 10 * time.Millisecond

// TrustWindow is the time in which a hold is trusted without asking Redis. It starts
// when the request that Redis granted or renewed was about to be sent, on this
// process's own clock: Redis counts from later, so ours ends first.
type TrustWindow struct {
	Start  time.Time
	wall   int64 // Start as the wall clock has it, in ns
	length time.Duration
	margin time.Duration // by which Redis keeps it for longer
}

// NewTrustWindow trusts a hold of ttl for a little less than ttl: the two clocks may
// run at different speeds, and a timer fires late.
func NewTrustWindow(sent time.Time, ttl time.Duration) TrustWindow {
	margin := ttl/100 + 3*time.Millisecond
	return TrustWindow{sent, sent.UnixNano(), ttl - margin, margin}
}

// Remaining returns what is left of the window. Go's monotonic clock stands still while a machine is
// suspended, and the wall clock may be set back, so the one that has gone further counts.
func (w TrustWindow) Remaining(now time.Time) time.Duration {
	return w.length - max(now.Sub(w.Start), time.Duration(now.UnixNano()-w.wall))
}

// Usable reports whether a lease may begin in the window. In its last third there may be no time
// for a renewal, and the lease would be lost although nothing failed.
func (w TrustWindow) Usable(now time.Time) bool { return w.Remaining(now) >= (w.length+w.margin)/3 }

// retryInterval is the least time between two renewals while Redis does not answer.
func (w TrustWindow) retryInterval() time.Duration { return max((w.length+w.margin)/30, MinTTL/4) }
