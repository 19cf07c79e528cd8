package mutex_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// workers are what the test binary does when a test starts it as another
// process, by name.
var workers = map[string]func(){}

// TestMain runs the tests only for internal/matrix.
func TestMain(m *testing.M) { redistest.TimedMain(m, workers) }
