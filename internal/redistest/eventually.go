package redistest

import (
	"fmt"
	"testing"
	"time"
)

// Eventually polls cond until it holds, and fails the test with the message
// when it does not do so within the given time, and the [Allowance] for a busy
// machine. It is the way to wait for an effect which nothing announces; it works in
// a synctest bubble too, where it spends fake time.
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
