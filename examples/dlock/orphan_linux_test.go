package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"

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
	t.Parallel()
	script := `(sh -c 'echo $$; exit 3' &); read x; exit 5`
	w := redistest.Spawn(t, "dlock", append(environ(redistest.Start(t), []string{"name", "--", "sh", "-c", script}), "DLOCK_TEST_ADOPTS=1")...)
	pid, err := strconv.Atoi(<-w.Lines())
	check(t, err)
	awaitEnd(t, pid)
	w.CloseInput()
	expectExit(t, w, 5)
}
