package main

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func testBench(t *testing.T) *bench {
	s := newServer(redistest.Start(t))
	b := &bench{server: s, systems: systems, duration: 100 * time.Millisecond, dir: t.TempDir()}
	t.Cleanup(func() {
		b.endCluster()
		s.hangUp()
		if len(b.misses) > 0 {
			t.Error(b.misses)
		}
	})
	return b
}

// only returns the one row of that name, and has it measured once.
func only[R row](t *testing.T, b *bench, name string) R {
	t.Helper()
	list, err := parse(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := list[0].round(t.Context(), b, 1); err != nil {
		t.Fatal(err)
	}
	for _, table := range list[0].report(b) {
		if len(table.lines) == 0 {
			t.Error(table.markdown())
		}
	}
	for _, x := range list[0].targets(b) {
		if x.verdict() == "not measured" {
			t.Errorf("%s: %s is not measured", name, x.what)
		}
	}
	return list[0].row.(R)
}

func named(t *testing.T, names string) []system {
	t.Helper()
	list, err := choose(names)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
