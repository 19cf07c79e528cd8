package semaphore_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestMain ends with goleak, as redistest.Main does for all packages.
func TestMain(m *testing.M) { redistest.Main(m, nil) }
