package semaphore

import (
	"math"
	"time"
)

// Limit is a rate, in events per second.
type Limit float64

// Inf is the rate that allows everything, whatever the burst.
const Inf = Limit(math.MaxFloat64)

// Every returns the rate of one event in each interval, Inf if that is not
// positive.
func Every(interval time.Duration) Limit {
	if interval <= 0 {
		return Inf
	}
	return 1 / Limit(interval.Seconds())
}
