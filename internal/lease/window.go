package lease

import "time"

// window is the time in which a claim is trusted without asking Redis. It starts
// when the request that Redis granted or renewed was about to be sent, on this
// process's own clock: Redis counts from later, so ours ends first.
type window struct {
	start  time.Time
	wall   int64 // start as the wall clock has it, in ns
	length time.Duration
	margin time.Duration // by which Redis keeps it for longer
}

// newWindow trusts a claim of ttl for a little less than ttl: the two clocks may
// run at different speeds, and a timer fires late.
func newWindow(sent time.Time, ttl time.Duration) window {
	margin := ttl/100 + 3*time.Millisecond
	return window{sent, sent.UnixNano(), ttl - margin, margin}
}

// left is how long the window still is. Go's monotonic clock stands still while a
// machine is suspended and the wall clock may be set back, so the one that has
// gone further counts.
func (w window) left(now time.Time) time.Duration {
	return w.length - max(now.Sub(w.start), time.Duration(now.UnixNano()-w.wall))
}

// retryInterval is the least time between two renewals while Redis does not answer.
func (w window) retryInterval() time.Duration { return max((w.length+w.margin)/30, MinTTL/4) }

// A moment is a time on this process's monotonic clock, in a third of the space.
type moment time.Duration

var epoch = time.Now()

func momentOf(t time.Time) moment { return moment(t.Sub(epoch)) }

func (m moment) until(t time.Time) time.Duration { return t.Sub(epoch) - time.Duration(m) }
