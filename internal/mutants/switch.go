package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Building a test takes far longer than running it. So one test binary contains the mistakes of all
// mutants, and makes the one that the environment names: a function that a mutant changes begins
// with a call of its changed copy. The mistake of a script is made when the script is loaded.

// switchFile is added to each package with mutants.
const switchFile = `package %s

import (
	"os"
	"strings"
)

var mutant = os.Getenv("MUTANT")

func mutated(file string, text []byte) []byte {
	if file == os.Getenv("MUTANT_SCRIPT") {
		return []byte(strings.Replace(string(text), os.Getenv("MUTANT_OLD"), os.Getenv("MUTANT_NEW"), 1))
	}
	return text
}
`

// loader reads the scripts. It is no mutant.
var loader = mutant{name: "loader", file: "internal/redisstore/script.go", old: "\treturn string(text)\n"}

// environ returns the environment variables that make the mistake.
func (m mutant) environ() []string {
	if !m.isScript() {
		return []string{"MUTANT=" + m.name}
	}
	script, _ := filepath.Rel(filepath.Dir(loader.file), m.file) // both are relative
	return []string{"MUTANT_SCRIPT=" + script, "MUTANT_OLD=" + m.old, "MUTANT_NEW=" + m.new}
}

// A changedFile is a file of the library, with text to insert and to append.
type changedFile struct {
	text    string
	inserts map[int]string // by position
	copies  string
}

// switchable returns the texts of the changed and added files of the library with all mistakes.
func switchable(root string, ms []mutant) (map[string]string, error) {
	changed := map[string]*changedFile{}
	for _, m := range ms {
		text, at, err := m.read(root)
		script := m.isScript()
		if err == nil && script {
			m = loader
			text, at, err = m.read(root)
		}
		if err != nil {
			return nil, err
		}
		f := changed[m.file]
		if f == nil {
			f = &changedFile{text: text, inserts: map[int]string{}}
			changed[m.file] = f
		}
		if script {
			f.inserts[at] = "\ttext = mutated(name, text)\n"
		} else if err := f.add(m, at); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	files := map[string]string{}
	for name, f := range changed {
		_, rest, _ := strings.Cut("\n"+f.text, "\npackage ")
		pkg, _, _ := strings.Cut(rest, "\n")
		files[filepath.Join(filepath.Dir(name), "mutant_switch.go")] = fmt.Sprintf(switchFile, pkg)
		end := 0
		for _, at := range slices.Sorted(maps.Keys(f.inserts)) {
			files[name] += f.text[end:at] + f.inserts[at]
			end = at
		}
		files[name] += f.text[end:] + f.copies
	}
	return files, nil
}

// add adds a copy of the function with the mistake at a position, and its call.
func (f *changedFile) add(m mutant, at int) error {
	original, err := functionAt(f.text, at)
	if err != nil {
		return err
	}
	text := strings.Replace(f.text, m.old, m.new, 1)
	c, err := functionAt(text, int(original.Pos())-1)
	if err != nil {
		return err
	}
	name := c.Name.Name + "_" + strings.ReplaceAll(m.name, "-", "_")
	// A compiler's error names the mutant as the file.
	f.copies += fmt.Sprintf("\n//line %s:1\n%s%s%s\n", m.name, text[c.Pos()-1:c.Name.Pos()-1], name, text[c.Name.End()-1:c.End()-1])
	f.inserts[int(original.Body.Lbrace)] += fmt.Sprintf(" if mutant == %q { %s };", m.name, f.callOf(original, name))
	return nil
}

// functionAt returns the function around a position.
func functionAt(text string, at int) (*ast.FuncDecl, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && int(f.Pos()) <= at+1 && at < int(f.End()) {
			return f, nil
		}
	}
	return nil, errors.New("the mistake is in no function")
}

// callOf returns statements that call a copy of a function with the same parameters.
func (f *changedFile) callOf(of *ast.FuncDecl, name string) string {
	args := strings.Join(f.names(of.Type.Params), ", ")
	if n := len(of.Type.Params.List); n > 0 {
		if _, variadic := of.Type.Params.List[n-1].Type.(*ast.Ellipsis); variadic {
			args += "..."
		}
	}
	if of.Recv != nil {
		name = f.names(of.Recv)[0] + "." + name
	}
	if of.Type.TypeParams != nil {
		name += "[" + strings.Join(f.names(of.Type.TypeParams), ", ") + "]"
	}
	if of.Type.Results == nil {
		return name + "(" + args + "); return"
	}
	return "return " + name + "(" + args + ")"
}

// names returns the names of parameters, or of a receiver. It names those without a name.
func (f *changedFile) names(list *ast.FieldList) (all []string) {
	for _, field := range list.List {
		for _, n := range field.Names {
			if n.Name == "_" {
				n.Name = fmt.Sprintf("p%d_", n.Pos())
				f.inserts[int(n.Pos())-1] = strings.TrimSuffix(n.Name, "_")
			}
			all = append(all, n.Name)
		}
		if field.Names == nil {
			all = append(all, "receiver")
			f.inserts[int(field.Type.Pos())-1] = "receiver "
		}
	}
	return all
}
