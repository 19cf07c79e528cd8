package mutex_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestTraceServer has a real server stop while a lock is held, and while it is given back.
func TestTraceServer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var r redistest.Record[mutex.Event]
	m := mutexOf(s.Client(t), 2*time.Second)
	m.Trace = (*mutex.Trace)(r.Trace())
	tells := func(line string) {
		t.Helper()
		told := func() bool { // an attempt may end, and fail, after all else
			return slices.ContainsFunc(r.Now(), func(s string) bool { return strings.HasPrefix(s, line) })
		}
		redistest.Eventually(t, 5*time.Second, told, "it tells %q", line)
	}

	l := lock(t, m)
	s.Pause()
	<-l.Done()
	tells("lost renew_failed")
	s.Continue()

	l = lock(t, m)
	s.Kill()
	if err := l.Unlock(); err == nil { // it has run out by the time that this is given up
		t.Error("it is unlocked without a server")
	}
	tells("error release")
	tells("released baton: unlock")
	must(s.Restart())
	unlock(t, lock(t, m))
	tells("released <nil>")
}
