package redistest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exported lists the exported functions of the package in dir, and the exported methods of its
// exported types, in order, as "New" and "Mutex.Lock".
func exported(tb testing.TB, dir string) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			tb.Fatal(err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.IsExported() {
				if of := receiver(f); of == "" {
					list = append(list, f.Name.Name)
				} else if ast.IsExported(of) {
					list = append(list, of+"."+f.Name.Name)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// receiver returns the name of the type that f is a method of, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	name, _ := of.(*ast.Ident)
	return name.Name // panics on a generic type: there is none yet
}

// CoversExported fails the test unless a table has exactly one row for each exported function and
// method of the package in dir.
func CoversExported[Row any](tb testing.TB, dir string, rows map[string]Row) {
	tb.Helper()
	all := exported(tb, dir)
	if len(all) == 0 {
		tb.Errorf("%s exports nothing", dir)
	}
	for _, name := range all {
		if _, ok := rows[name]; !ok {
			tb.Errorf("%s has no row", name)
		}
	}
	for name := range rows {
		if _, ok := slices.BinarySearch(all, name); !ok {
			tb.Errorf("there is a row for %s, which is not exported", name)
		}
	}
}
