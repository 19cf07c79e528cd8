package docs

import (
	"go/ast"
	"go/doc"
	"go/token"
	"path"
	"strings"
	"testing"
)

// TestPrograms checks that the compiled examples contain each Go block of the pages, line by line.
func TestPrograms(t *testing.T) {
	examples := ""
	for _, p := range packages {
		examples += flat(readAll(t, p+"/*example_test.go"))
	}
	programs := blocks(t, "go")
	if len(programs) < 6 {
		t.Errorf("the pages have %d programs", len(programs))
	}
	for _, p := range programs {
		if !strings.Contains(examples, flat(p)) {
			t.Errorf("no example has these lines:\n%s", p)
		}
	}
	for _, p := range pages(t) {
		if n := strings.Count(p.text, "```"); n != 2*len(fence.FindAllString(p.text, -1)) {
			t.Errorf("%s has unchecked blocks", p.path)
		}
	}
}

// flat returns the text without indentation and blank lines.
func flat(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines.WriteString(line + "\n")
		}
	}
	return lines.String()
}

// TestExamples checks that an example of the type calls each public method. Each example must have an
// output, so that go test runs it.
func TestExamples(t *testing.T) {
	for _, p := range packages {
		fset := token.NewFileSet()
		var parsed []*ast.File
		for _, name := range files(p + "/*.go") {
			if !strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "example_test.go") {
				parsed = append(parsed, parse(t, fset, name))
			}
		}
		d, err := doc.NewFromFiles(fset, parsed, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range d.Types {
			calls := map[string]bool{}
			examples := typ.Examples
			for _, m := range typ.Methods {
				examples = append(examples, m.Examples...)
			}
			for _, e := range examples {
				if e.Output == "" {
					t.Errorf("%s: Example%s has no output", p, e.Name)
				}
				ast.Inspect(e.Code, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						calls[s.Sel.Name] = true
					}
					return true
				})
			}
			for _, m := range typ.Methods {
				if m.Recv == "*"+typ.Name && !calls[m.Name] {
					t.Errorf("%s: no example of %s shows %s", p, typ.Name, m.Name)
				}
			}
		}
	}
}

// TestProgramsAreRun checks that tests run each example program on a real server, and on its embedded
// server, if any.
func TestProgramsAreRun(t *testing.T) {
	programs := files("examples/*/main.go")
	if len(programs) < 5 {
		t.Fatal(programs)
	}
	for _, program := range programs {
		name := path.Base(path.Dir(program))
		code, tests := readAll(t, "examples/"+name+"/*.go"), readAll(t, "examples/"+name+"/*_test.go")
		if !strings.Contains(tests, "redistest.Start(") && !strings.Contains(tests, "redistest.EachServer(") {
			t.Errorf("no test runs examples/%s on a redis-server", name)
		}
		if strings.Contains(code, "examples/internal/server") && !strings.Contains(tests, "func TestEmbedded(") && !strings.Contains(tests, `"embedded":`) && !strings.Contains(tests, "redistest.EachServer(") {
			t.Errorf("no test runs examples/%s on its embedded server", name)
		}
	}
}
