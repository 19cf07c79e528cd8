package main

import (
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestTable checks that every mutant applies to its file once, and that its test exists. It runs no mutant.
func TestTable(t *testing.T) {
	if _, err := switchable(root, table()); err != nil {
		t.Error(err)
	}
	names, tests := map[string]bool{}, map[string][]string{}
	for _, m := range table() {
		if names[m.name] {
			t.Errorf("two mutants have the name %s", m.name)
		}
		names[m.name] = true
		if m.old == m.new || m.breaks == "" {
			t.Errorf("%s changes nothing, or has no description", m.name)
		}
		if tests[m.pkg] == nil {
			tests[m.pkg] = testsOf(root, m.pkg)
		}
		if name, _, _ := strings.Cut(m.test, "/"); !slices.Contains(tests[m.pkg], name) {
			t.Errorf("%s: %s does not exist in %s", m.name, name, m.pkg)
		}
	}
}
