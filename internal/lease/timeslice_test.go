package lease

import (
	"testing"
	"time"
)

// TestTimeSliceServesWhoWaited: a slice ends when all who waited as it began have been let in, as
// often as the slice allows.
func TestTimeSliceServesWhoWaited(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		took          time.Duration
		waited, letIn int64
		over          bool
		slice, limit  time.Duration
	}{
		"one waits, and its slice is not over":     {4 * ms, 1, 1, false, 10 * ms, 20 * ms},
		"it is as good as over":                    {96 * ms / 10, 1, 9, true, 10 * ms, 20 * ms},
		"it is over":                               {10 * ms, 1, 9, true, 10 * ms, 20 * ms},
		"two of eight are left, and it is not":     {9 * ms, 8, 6, false, 10 * ms, 20 * ms},
		"two of eight are left":                    {10 * ms, 8, 6, false, 10 * ms, 20 * ms},
		"none is left":                             {10 * ms, 8, 8, true, 10 * ms, 20 * ms},
		"none, and a second round would be longer": {8 * ms, 8, 8, true, 10 * ms, 20 * ms},
		"none, but there is time for a second":     {6 * ms, 8, 8, false, 10 * ms, 20 * ms},
		"in the second round":                      {10 * ms, 8, 12, false, 10 * ms, 20 * ms},
		"in one that takes much longer":            {20 * ms, 8, 12, true, 10 * ms, 20 * ms},
		"the first would take too long":            {16 * ms, 8, 6, true, 10 * ms, 20 * ms},
		"a slice may be no longer":                 {10 * ms, 8, 6, true, 10 * ms, 10 * ms},
		"a hold took years":                        {1e5 * time.Hour, 1e12, 1, true, 10 * ms, 20 * ms},
	} {
		now := time.Now()
		if got := (timeSlice{monoTimeOf(now.Add(-c.took)), c.slice, c.limit, c.waited}).exhausted(now, c.letIn); got != c.over {
			t.Errorf("%s: over is %v", name, got)
		}
	}
}
