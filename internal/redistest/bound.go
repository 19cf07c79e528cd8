package redistest

import (
	"testing"
	"time"
)

// Within checks how long something took since start, of which slack is what a
// busy machine may add to the bound. It logs both in the one form in which
// internal/matrix looks for what was measured.
func Within(tb testing.TB, what string, start time.Time, bound, slack time.Duration) {
	tb.Helper()
	took := time.Since(start)
	tb.Logf("%s took %v, the bound is %v", what, took.Round(time.Millisecond), bound)
	if took > bound+slack {
		tb.Errorf("%s took %v, the bound is %v", what, took, bound)
	}
}

// AtMost is Within for what is counted.
func AtMost[N int | int64](tb testing.TB, what string, got, bound N) {
	tb.Helper()
	tb.Logf("%s came to %d, the bound is %d", what, got, bound)
	if got > bound {
		tb.Errorf("%s came to %d, the bound is %d", what, got, bound)
	}
}
