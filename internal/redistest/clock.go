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

// A Clock sets the time of day that a server sees.
type Clock struct {
	tb   testing.TB
	file string
}

// StartClocked is [Start] for a server with a clock that the test can set. Without gcc it skips the test.
func StartClocked(tb testing.TB, args ...string) (*Server, *Clock) {
	tb.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		tb.Skip("gcc is not on the PATH: it is needed to set the server's clock")
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

// Step sets the offset of the clock from the true time.
func (c *Clock) Step(d time.Duration) {
	c.tb.Helper()
	f, err := os.OpenFile(c.file, os.O_WRONLY|os.O_CREATE, 0o600) // in place: the server has mapped the file
	must(err)
	defer f.Close()
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(d.Microseconds())))
	must(err)
}
