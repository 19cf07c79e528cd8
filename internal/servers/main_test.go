package main

import (
	"fmt"
	"slices"
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
