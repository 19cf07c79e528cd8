package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// TestRows: all rows exist, in order, and are complete.
func TestRows(t *testing.T) {
	if len(rows) < 62 {
		t.Errorf("%d rows", len(rows))
	}
	last := 0
	for _, r := range rows {
		if r.number <= last {
			t.Errorf("row %d comes after row %d", r.number, last)
		}
		last = r.number
		if len(r.tests) == 0 {
			t.Errorf("row %d has no test", r.number)
		}
		for i, cell := range r.cells() {
			if cell == "" || strings.Contains(cell, "|") {
				t.Errorf("row %d: %s is %q", r.number, header[i], cell)
			}
		}
	}
}

// TestNames: each test and subtest that a row names exists. Each test under internal/matrix is in a row,
// because nothing else runs it.
func TestNames(t *testing.T) {
	functions, texts, measuring := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for pkg, list := range dirs {
		files := []string{filepath.Join(root, "internal/matrix/kit/kit.go")} // it has subtests
		for _, dir := range list {
			more, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
			if err != nil || len(more) == 0 {
				t.Fatalf("%s: %d files, %v", dir, len(more), err)
			}
			files = append(files, more...)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					functions[pkg+"."+n.Name.Name] = n.Recv == nil
					if strings.HasPrefix(n.Name.Name, "Test") && n.Name.Name != "TestMain" && strings.Contains(file, "matrix") {
						measuring[pkg+"."+n.Name.Name] = true
					}
				case *ast.BasicLit:
					texts[pkg+"."+n.Value] = n.Kind == token.STRING
				}
				return true
			})
		}
	}
	run := map[string]bool{}
	for _, r := range rows {
		for _, test := range r.tests {
			pkg, function, subtest := split(test)
			run[pkg+"."+function] = true
			if !functions[pkg+"."+function] {
				t.Errorf("row %d: %s does not exist", r.number, test)
			}
			if subtest != "" && !texts[pkg+`."`+subtest+`"`] {
				t.Errorf("row %d: the subtest %s does not exist", r.number, test)
			}
		}
	}
	for function := range measuring {
		if !run[function] {
			t.Errorf("no row runs %s", function)
		}
	}
}

// TestPage: the page's table agrees with the rows, and has a measurement for each.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	list := measured(string(text))
	for i, worst := range list {
		if worst == "" || worst == "—" {
			t.Errorf("row %d has not been measured", rows[i].number)
		}
	}
	if same, err := insert(string(text), table(rows, list)); err != nil || same != string(text) {
		t.Errorf("the table does not agree with the rows: go run ./internal/matrix -write (%v)", err)
	}
}

// TestMeasures: the worst measurement is the nearest to its bound. Other lines of output are ignored.
func TestMeasures(t *testing.T) {
	r := row{number: 1, tests: []string{"a.TestX", "a.TestY/Case"}}
	g := newResults()
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
	worst, err := g.resultOf(r)
	if worst != "to go on: again: 1.2s of 1s" {
		t.Errorf("the worst measurement is %q", worst)
	}
	if err == nil || err.Error() != `row 1: a.TestY/Case: "skip"` {
		t.Errorf("the error is %v", err)
	}
}
