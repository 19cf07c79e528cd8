package certmagiclock_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/rival"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m, nil) }

func TestExamples(t *testing.T) { rival.Examples(t) }
