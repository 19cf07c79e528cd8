package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRows: all rows are complete and in order. Each test and subtest of a row exists. Each test of
// dirs["faults"] is in a row, because nothing else runs it.
func TestRows(t *testing.T) {
	sources := map[string]string{}
	for pkg, dir := range dirs {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[pkg] += string(text)
		}
	}
	if len(rows) < 62 {
		t.Errorf("%d rows", len(rows))
	}
	listed, last := map[string]bool{}, 0
	for _, r := range rows {
		if r.number <= last || r.fault == "" || r.required == "" || r.bound == "" || r.servers == "" || len(r.tests) == 0 {
			t.Errorf("row %d, after row %d: %+v", r.number, last, r)
		}
		last = r.number
		for _, name := range r.tests {
			pkg, function, subtest := split(name)
			listed[pkg+"."+function] = true
			if !strings.Contains(sources[pkg], "\nfunc "+function+"(t ") || subtest != "" && !strings.Contains(sources[pkg], `"`+subtest+`"`) {
				t.Errorf("row %d: %s does not exist", r.number, name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\nfunc (Test\w+)\(t `).FindAllStringSubmatch(sources["faults"], -1) {
		if !listed["faults."+m[1]] {
			t.Errorf("no row runs %s", m[1])
		}
	}
}

// TestPage: the page's table agrees with the rows, and has a measurement for each.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := measured(string(text))
	for _, r := range rows {
		if all[r.number] == "" {
			t.Errorf("row %d has not been measured", r.number)
		}
	}
	if same, err := insert(string(text), table(rows, all)); err != nil || same != string(text) {
		t.Errorf("the table does not agree with the rows: go run ./internal/matrix -write (%v)", err)
	}
}

// TestMeasures: the worst measurement is the nearest to its bound. Other lines of output are ignored.
func TestMeasures(t *testing.T) {
	g := results{}
	if err := g.read(strings.NewReader(`
		{"Action":"output","Package":"x/a","Test":"TestX","Output":"    x_test.go:1: to wait took 2s, the bound is 3s\n"}
		{"Action":"output","Package":"x/a","Test":"TestX/Sub","Output":"    x_test.go:1: to go on: again took 1.2s, the bound is 1s\n"}
		{"Action":"output","Package":"x/a","Test":"TestY/Case","Output":"    x_test.go:1: requests came to 9, the bound is 3\n"}
		{"Action":"output","Package":"x/a","Test":"TestY/Other","Output":"    x_test.go:1: to go on took 9s, the bound is 1s\n"}
		{"Action":"output","Package":"x/a","Test":"TestX","Output":"    x_test.go:1: it took 9s\n"}
		{"Action":"pass","Package":"x/a","Test":"TestX"}
		{"Action":"skip","Package":"x/a","Test":"TestY/Case"}`)); err != nil {
		t.Fatal(err)
	}
	tests := []string{"a.TestX", "a.TestY/Case"}
	worst, err := g.resultOf(row{number: 1, tests: tests}, tests)
	if worst != "to go on: again: 1.2s of 1s" {
		t.Errorf("the worst measurement is %q", worst)
	}
	if err == nil || err.Error() != `row 1: a.TestY/Case: "skip"` {
		t.Errorf("the error is %v", err)
	}
}
