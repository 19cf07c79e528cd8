package redistest

import (
	_ "embed" // of the C source
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

//go:embed clock/clock.c
var clockSource []byte

// A Clock is what a server takes for the time of day.
type Clock struct {
	tb   testing.TB
	file string
}

// StartClocked is Start for a server whose clock can be set. It needs gcc, and
// the test is skipped where there is none.
func StartClocked(tb testing.TB, args ...string) (*Server, *Clock) {
	tb.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		tb.Skip("gcc is not on the PATH: nothing can set the server's clock")
	}
	dir := tb.TempDir()
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	must(os.WriteFile(source, clockSource, 0o600))
	if out, err := exec.Command(gcc, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		tb.Fatalf("redistest: %v: %s", err, out)
	}
	c := &Clock{tb, filepath.Join(dir, "clock")}
	c.Step(0)
	return start(tb, []string{"LD_PRELOAD=" + library, "CLOCK=" + c.file}, args), c
}

// Step sets the clock that far from the true time.
func (c *Clock) Step(d time.Duration) {
	c.tb.Helper()
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600) // in place: the server has it in memory
	must(err)
	defer f.Close()
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(d.Microseconds())))
	must(err)
}
