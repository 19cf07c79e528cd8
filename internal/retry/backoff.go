package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// MaxInterval is the longest interval between two attempts.
const MaxInterval = 1200 * time.Millisecond

// NewBackoff returns an exponential backoff without an end, whose intervals,
// jitter included, end at the poll bound.
func NewBackoff(first time.Duration, jitter float64) backoff.BackOff {
	bound := time.Duration(float64(MaxInterval) / (1 + jitter))
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(min(first, bound)), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(jitter), backoff.WithMaxInterval(bound), backoff.WithMaxElapsedTime(0))
}
