package gocronlock_test

import (
	"testing"

	"github.com/seed-3d5fec5c/baton/examples/adapters/internal/rival"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// workers are what the test binary does as another process, by name.
var workers = map[string]func(){}

func TestMain(m *testing.M) { redistest.Main(m, workers) }

func TestExamples(t *testing.T) { rival.Examples(t) }
