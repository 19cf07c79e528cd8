// Package adaptertest has helpers for the tests of the adapters.
package adaptertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// Check ends the test on an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Examples runs the examples of the test binary again, on a real server. By default they
// run on an embedded server.
func Examples(t *testing.T) {
	s := redistest.Start(t)
	again := exec.Command(os.Args[0], "-test.run=^Example", "-test.v")
	again.Env = append(os.Environ(), "REDIS_URL="+s.URL())
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: Example") || s.Stats(t).Calls["evalsha"] == 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
