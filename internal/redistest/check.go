package redistest

import (
	"testing"
	"time"
)

// Patience is for how long a test waits for what is not measured. No machine is so
// slow that it takes longer: what does hangs.
const Patience = time.Minute

// CheckDuration checks how long something took since start. In a package of
// internal/matrix, slack is added to the bound for what a machine takes in any case,
// and the [Allowance] for one that is busy. Elsewhere only [Patience] is the limit.
// Within logs what it measured in the one form in which internal/matrix looks for it.
func CheckDuration(tb testing.TB, what string, start time.Time, bound, slack time.Duration) {
	tb.Helper()
	took := time.Since(start)
	tb.Logf("%s took %v, the bound is %v", what, took.Round(time.Millisecond), bound)
	if allowed := Allowance(start); took > bound+slack+allowed {
		tb.Errorf("%s took %v, the bound is %v, and %v for a busy machine", what, took, bound, allowed)
	}
}

// CheckCount is Within for what is counted.
func CheckCount[N int | int64](tb testing.TB, what string, got, bound N) {
	tb.Helper()
	tb.Logf("%s came to %d, the bound is %d", what, got, bound)
	if got > bound {
		tb.Errorf("%s came to %d, the bound is %d", what, got, bound)
	}
}
