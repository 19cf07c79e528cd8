package redistest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestEventually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Eventually(t, time.Minute, func() bool { return time.Since(start) >= time.Second }, "a second passes")

		r := record(t, func(tb testing.TB) {
			Eventually(tb, time.Second, func() bool { return false }, "%d is %d", 1, 2)
		})
		if r.fatal != "not within 1s: 1 is 2" {
			t.Errorf("fatal: %q", r.fatal)
		}
	})
}
