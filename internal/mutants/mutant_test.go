package main

import (
	"strings"
	"testing"
)

const root = "../.."

// TestTable checks that every mutant applies to its file once, and that its test exists. It runs no mutant.
func TestTable(t *testing.T) {
	if _, err := fromDisk(root); err != nil {
		t.Error(err)
	}
	names, tests := map[string]bool{}, map[string]map[string]bool{}
	for _, m := range table() {
		if names[m.name] {
			t.Errorf("two mutants have the name %s", m.name)
		}
		names[m.name] = true
		if m.old == m.new || m.breaks == "" {
			t.Errorf("%s changes nothing, or has no description", m.name)
		}
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
		if tests[m.pkg] == nil {
			tests[m.pkg] = testsOf(root, m.pkg)
		}
		if name, _, _ := strings.Cut(m.test, "/"); !tests[m.pkg][name] {
			t.Errorf("%s: %s does not exist in %s", m.name, name, m.pkg)
		}
	}
}
