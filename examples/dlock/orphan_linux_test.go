package main

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// With DLOCK_TEST_ADOPTS set, dlock reaps orphans, as process 1 of a container does.
func init() {
	const setChildSubreaper = 36
	if os.Getenv("DLOCK_TEST_ADOPTS") != "" {
		_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0)
		reapsOrphans = errno == 0
	}
}

// TestOrphansAreReaped: a process that the command left behind does not become a zombie.
func TestOrphansAreReaped(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("DLOCK_TEST_ADOPTS", "1")
	w := dlock(t, s, "name", "--", "sh", "-c", `(sh -c 'echo $$; exit 3' &); read x; exit 5`)
	pid := <-w.Lines()
	redistest.Eventually(t, 5*time.Second, func() bool {
		_, err := os.Stat("/proc/" + pid)
		return os.IsNotExist(err)
	}, "the orphan %s is reaped", pid)
	w.CloseInput()
	expectExit(t, w, 5)
}
