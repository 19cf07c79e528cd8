package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRunner returns a runner for a module with one function and tests.
func newRunner(t *testing.T) *runner {
	r := &runner{root: t.TempDir(), dir: t.TempDir(), count: 1, jobs: 2, passed: map[string]func() error{}}
	if err := os.Mkdir(filepath.Join(r.root, "double"), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"go.mod":           "module m\n",
		"double/double.go": "package m\n\ntype number int\n\nfunc (number) double(n ...int) int { return 2 * n[0] }\n",
		"double/double_test.go": `package m

import "testing"

func TestDouble(t *testing.T) {
	if got := number(0).double(2); got != 4 {
		t.Errorf("double(2) is %d", got)
	}
}

func TestQuadruple(t *testing.T) {
	if got := number(0).double(2); got != 8 {
		t.Errorf("double(2) is %d", got)
	}
}

func TestNothing(t *testing.T) { t.Skip("tests nothing") }
`,
	} {
		if err := os.WriteFile(filepath.Join(r.root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func doubling(name, by string) mutant {
	return mutant{name, "the function does not double", "double/double.go", "2 * n[0]", by, "double", "TestDouble"}
}

// TestRunAll runs a mutant that is caught, and one that survives.
func TestRunAll(t *testing.T) {
	r, out := newRunner(t), new(strings.Builder)
	ms := []mutant{doubling("triples", "3 * n[0]"), doubling("squares", "n[0] * n[0]")}
	err := r.runAll(t.Context(), ms, ms, out)
	if err == nil || err.Error() != "1 of 2 mutants were not caught" {
		t.Error(err)
	}
	for _, want := range []string{"triples: caught (", "; double.TestDouble; the function does not double)\n", "squares: SURVIVED (", "\n2 mutants, 1 caught, in "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// TestRunAllRejectsUselessMutants: mutants that cannot prove anything are errors.
func TestRunAllRejectsUselessMutants(t *testing.T) {
	r := newRunner(t)
	gone, outside, unbuilt := doubling("gone", "n[0]"), doubling("outside", "type number string"), doubling("unbuilt", "2 * n")
	skipped, unknown, wrong := doubling("skipped", "n[0]"), doubling("unknown", "n[0]"), doubling("wrong", "n[0]")
	gone.old, outside.old = "n * 2", "type number int"
	skipped.test, unknown.test, wrong.test = "TestNothing", "TestTriple", "TestQuadruple"
	for want, m := range map[string]mutant{
		"occurs 0 times in double/double.go": gone,
		"in no function":                     outside,
		"unbuilt:1:":                         unbuilt, // a position in the compiler's error
		"was not run\n=== RUN":               skipped,
		"was not run\ntesting: ":             unknown,
		"fails without a mistake":            wrong,
	} {
		if err := r.runAll(t.Context(), []mutant{m}, []mutant{m}, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", m.name, err, want)
		}
	}
}
