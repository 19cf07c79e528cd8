package redistest

import (
	"testing"
	"time"
)

// Patience limits a test's wait for something that is not measured. A longer wait means a hang, even on a slow machine.
const Patience = time.Minute

// CheckDuration compares the time since start with the bound. In the packages of internal/matrix it
// adds slack for any machine, and the [Allowance] for a busy one. In other packages the limit is
// [Patience]. internal/matrix parses the line that CheckDuration logs.
func CheckDuration(tb testing.TB, what string, start time.Time, bound, slack time.Duration) {
	tb.Helper()
	took := time.Since(start)
	tb.Logf("%s took %v, the bound is %v", what, took.Round(time.Millisecond), bound)
	if allowed := Allowance(start); took > bound+slack+allowed {
		tb.Errorf("%s took %v, the bound is %v, and %v for a busy machine", what, took, bound, allowed)
	}
}

// CheckCount compares a count with its bound, and logs both as [CheckDuration] does.
func CheckCount[N int | int64](tb testing.TB, what string, got, bound N) {
	tb.Helper()
	tb.Logf("%s came to %d, the bound is %d", what, got, bound)
	if got > bound {
		tb.Errorf("%s came to %d, the bound is %d", what, got, bound)
	}
}
