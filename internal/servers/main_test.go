package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadCountsTests(t *testing.T) {
	var r result
	r.read([]byte(`{"Action":"pass","Package":"m/a","Test":"TestA/case"}
{"Action":"pass","Package":"m/a","Test":"TestA"}
{"Action":"output","Package":"m/a","Test":"TestB","Output":"why\n"}
{"Action":"fail","Package":"m/a","Test":"TestB"}
{"Action":"skip","Package":"m/a","Test":"TestC"}
{"Action":"fail","Package":"m/a"}
{"Action":"output","Package":"m/b","Output":"found leaked goroutines\n"}
{"Action":"fail","Package":"m/b"}
`))
	if r.passed != 1 || r.skipped != 1 || !slices.Equal(r.failed, []string{"a.TestB", "b."}) {
		t.Errorf("%+v", r)
	}
	if r.output != "why\nfound leaked goroutines\n" {
		t.Errorf("output %q", r.output)
	}
}

func TestReplaceTable(t *testing.T) {
	on := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	rows := table([]result{{version: "Redis 1.2.3", passed: 4}, {version: "Valkey 5", passed: 6, failed: []string{"a.TestB"}}}, on)
	got, err := replaceTable("before\n"+begin+"old\n"+end+"after\n", rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n", "Run on 2026-11-30.\n", "| Redis 1.2.3 | 4 | 0 | – |\n", "| Valkey 5 | 6 | 0 | `a.TestB` |\n", "after\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Errorf("the old table is still there:\n%s", got)
	}
	if _, err := replaceTable("none", rows); err == nil {
		t.Error("a page without a place for the table is accepted")
	}
}
