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

// TestRows: all rows are there, in order, and say all that they must.
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

// TestNames: each test that a row names exists, and its package has a case of
// that name. Each test that measures is in a row: nothing else runs it.
func TestNames(t *testing.T) {
	functions, texts, measuring := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for pkg, list := range dirs {
		files := []string{filepath.Join(root, "internal/matrix/kit/kit.go")} // which has cases
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
			pkg, function, of := split(test)
			run[pkg+"."+function] = true
			if !functions[pkg+"."+function] {
				t.Errorf("row %d: there is no %s", r.number, test)
			}
			if of != "" && !texts[pkg+`."`+of+`"`] {
				t.Errorf("row %d: there is no case %s", r.number, test)
			}
		}
	}
	for function := range measuring {
		if !run[function] {
			t.Errorf("no row runs %s", function)
		}
	}
}

// TestPage: the page's table says what the rows say, and what was measured of each.
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
		t.Errorf("the table does not say what the rows say: go run ./internal/matrix -write (%v)", err)
	}
}

// TestMeasures: the worst is what is nearest to its bound, and a line of another
// form is none.
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
	worst, err := g.of(r)
	if worst != "to go on: again: 1.2s of 1s" {
		t.Errorf("the worst is %q", worst)
	}
	if err == nil || err.Error() != `row 1: a.TestY/Case: "skip"` {
		t.Errorf("the error is %v", err)
	}
}
