package lease

import "time"

// trustWindow is the time in which a claim is trusted without asking Redis. It starts
// when the request that Redis granted or renewed was about to be sent, on this
// process's own clock: Redis counts from later, so ours ends first.
type trustWindow struct {
	start  time.Time
	wall   int64 // start as the wall clock has it, in ns
	length time.Duration
	margin time.Duration // by which Redis keeps it for longer
}

// newTrustWindow trusts a claim of ttl for a little less than ttl: the two clocks may
// run at different speeds, and a timer fires late.
func newTrustWindow(sent time.Time, ttl time.Duration) trustWindow {
	margin := ttl/100 + 3*time.Millisecond
	return trustWindow{sent, sent.UnixNano(), ttl - margin, margin}
}

// remaining is how long the window still is. Go's monotonic clock stands still while a
// machine is suspended and the wall clock may be set back, so the one that has
// gone further counts.
func (w trustWindow) remaining(now time.Time) time.Duration {
	return w.length - max(now.Sub(w.start), time.Duration(now.UnixNano()-w.wall))
}

// retryInterval is the least time between two renewals while Redis does not answer.
func (w trustWindow) retryInterval() time.Duration { return max((w.length+w.margin)/30, MinTTL/4) }

// A monoTime is a time on this process's monotonic clock, in a third of the space.
type monoTime time.Duration

var monoEpoch = time.Now()

func monoTimeOf(t time.Time) monoTime { return monoTime(t.Sub(monoEpoch)) }

func (m monoTime) elapsed(t time.Time) time.Duration { return t.Sub(monoEpoch) - time.Duration(m) }
