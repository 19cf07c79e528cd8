package redistest

import (
	"fmt"
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

// Eventually polls cond until it is true. It fails the test with the message if that takes longer
// than the given time and the [Allowance] for a busy machine. Use it for effects without an event.
// In a synctest bubble it spends fake time.
func Eventually(tb testing.TB, within time.Duration, cond func() bool, format string, args ...any) {
	tb.Helper()
	start := time.Now()
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Since(start) >= within+Allowance(start) {
			tb.Fatalf("not within %v: %s", within, fmt.Sprintf(format, args...))
		}
		time.Sleep(pause)
	}
}
