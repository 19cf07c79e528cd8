package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAddCountsTests(t *testing.T) {
	var r result
	red := errors.New("exit status 1")
	r.add("a", "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/case (0.00s)\n    x_test.go:1: why\n--- FAIL: TestB (0.10s)\n--- SKIP: TestC (0.00s)\nFAIL\n", red)
	r.add("b", "--- PASS: TestD (0.00s)\nfound leaked goroutines\n", red)
	r.add("c", "testing: warning: no tests to run\nPASS\n", nil)
	if r.passed != 2 || r.skipped != 1 || !slices.Equal(r.failed, []string{"a.TestB", "b.", "c."}) {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"why\n", "found leaked goroutines\n"} {
		if !strings.Contains(r.output, want) {
			t.Errorf("%q is not in %q", want, r.output)
		}
	}
}

// TestReplaceTable: rows of servers that were not tested are kept.
func TestReplaceTable(t *testing.T) {
	on := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	r := result{version: "Redis 1.2.3", passed: 4, skipped: 1, failed: []string{"a.TestB"}}
	page := "before\n" + begin + "| server | run on |\n|---|---|\n%s| Redis 2.0 | kept |\n" + end + "after\n"
	got, err := replaceTable(fmt.Sprintf(page, "| Redis 1.2.3 | old |\n"), r, on)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(page, "| Redis 1.2.3 | 2026-11-30 | 4 | 1 | `a.TestB` |\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := replaceTable("none", r, on); err == nil {
		t.Error("a page without the table's comments was accepted")
	}
}
