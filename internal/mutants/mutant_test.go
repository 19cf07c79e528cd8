package main

import (
	"strings"
	"testing"
)

const root = "../.."

// TestTable keeps the table true while the library changes: every mutant applies
// to its file, once, and names a test that there is. None is run.
func TestTable(t *testing.T) {
	if _, err := fromDisk(root); err != nil {
		t.Error(err)
	}
	names, tests := map[string]bool{}, map[string]map[string]bool{}
	for _, m := range table() {
		if names[m.name] {
			t.Errorf("there are two mutants %s", m.name)
		}
		names[m.name] = true
		if m.old == m.new || m.breaks == "" {
			t.Errorf("%s breaks nothing, or does not say what", m.name)
		}
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
		if tests[m.pkg] == nil {
			tests[m.pkg] = testsOf(root, m.pkg)
		}
		if name, _, _ := strings.Cut(m.test, "/"); !tests[m.pkg][name] {
			t.Errorf("%s: there is no %s in %s", m.name, name, m.pkg)
		}
	}
}
