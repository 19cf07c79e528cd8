package semaphore_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }
