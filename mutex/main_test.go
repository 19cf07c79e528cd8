package mutex_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// workers are the functions that a test can run in another process, by name.
var workers = map[string]func(){}

// goleak checks that the tests leave no goroutine.
func TestMain(m *testing.M) { redistest.Main(m, workers) }
