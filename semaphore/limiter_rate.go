package semaphore

import (
	"math"
	"time"
)

// Limit is the maximum frequency of events, in events per second. A zero Limit allows no
// events.
type Limit float64

// Inf is the infinite rate limit. It allows all events, whatever the burst.
const Inf = Limit(math.MaxFloat64)

// Every converts the minimum time interval between events to a Limit. It returns Inf if
// the interval is not positive.
func Every(interval time.Duration) Limit {
	if interval <= 0 {
		return Inf
	}
	return 1 / Limit(interval.Seconds())
}
