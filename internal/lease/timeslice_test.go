package lease

import (
	"testing"
	"time"
)

// TestTimeSliceServesEachWaiter checks that a slice ends once all waiters of its start were granted,
// as often as the slice allows.
func TestTimeSliceServesEachWaiter(t *testing.T) {
	for name, c := range map[string]struct {
		took            time.Duration
		waiters, grants int64
		exhausted       bool
		slice, limit    time.Duration
	}{
		"one waiter, within the slice":            {4 * ms, 1, 1, false, 10 * ms, 20 * ms},
		"one waiter, almost at the end":           {96 * ms / 10, 1, 9, true, 10 * ms, 20 * ms},
		"one waiter, at the end":                  {10 * ms, 1, 9, true, 10 * ms, 20 * ms},
		"two of eight left, within the slice":     {9 * ms, 8, 6, false, 10 * ms, 20 * ms},
		"two of eight left, at the end":           {10 * ms, 8, 6, false, 10 * ms, 20 * ms},
		"none left, at the end":                   {10 * ms, 8, 8, true, 10 * ms, 20 * ms},
		"none left, no time for a second round":   {8 * ms, 8, 8, true, 10 * ms, 20 * ms},
		"none left, time for a second round":      {6 * ms, 8, 8, false, 10 * ms, 20 * ms},
		"in the second round":                     {10 * ms, 8, 12, false, 10 * ms, 20 * ms},
		"in the second round, at the limit":       {20 * ms, 8, 12, true, 10 * ms, 20 * ms},
		"the first round would exceed the limit":  {16 * ms, 8, 6, true, 10 * ms, 20 * ms},
		"two of eight left, the limit is the end": {10 * ms, 8, 6, true, 10 * ms, 10 * ms},
		"a hold took years":                       {1e5 * time.Hour, 1e12, 1, true, 10 * ms, 20 * ms},
	} {
		now := time.Now()
		s := timeSlice{monoTimeOf(now.Add(-c.took)), c.slice, c.limit, c.waiters}
		equal(t, name, s.exhausted(now, c.grants), c.exhausted)
	}
}
