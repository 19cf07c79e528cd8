package redistest

import (
	"fmt"
	"testing"
	"time"
)

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
