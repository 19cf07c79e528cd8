package redistest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestExported(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": "package a\nfunc New() *T { return nil }\nfunc (T) B() {}\nfunc (*T) A() {}\nfunc (*T) c() {}\nfunc (u) D() {}\nfunc e() {}\n" +
			"type T struct{}\ntype u int\n",
		"a_test.go": "package a\nfunc TestIt() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"New", "T.A", "T.B"}
	if got := Exported(t, dir); !slices.Equal(got, want) {
		t.Errorf("it is %q", got)
	}
	for rows, errors := range map[*map[string]int]int{
		{"New": 1, "T.A": 1, "T.B": 1}: 0, {"New": 1, "T.A": 1}: 1, {"New": 1, "T.A": 1, "T.B": 1, "T.c": 1}: 1,
	} {
		if r := record(t, func(tb testing.TB) { Covers(tb, dir, *rows) }); len(r.errors) != errors {
			t.Errorf("%v: %q", *rows, r.errors)
		}
	}
	if r := record(t, func(tb testing.TB) { Covers(tb, t.TempDir(), map[string]int{}) }); len(r.errors) != 1 {
		t.Errorf("nothing: %q", r.errors)
	}
}
