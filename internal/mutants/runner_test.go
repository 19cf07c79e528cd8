package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newRunner returns a runner for a module with one function and a test.
func newRunner(t *testing.T) *runner {
	r := &runner{root: t.TempDir(), dir: t.TempDir(), count: 1, jobs: 2}
	for file, text := range map[string]string{
		"go.mod": "module m\n",
		"double.go": `package m

func double(n int) int { return 2 * n }
`,
		"double_test.go": `package m

import "testing"

func TestDouble(t *testing.T) {
	if got := double(2); got != 4 {
		t.Errorf("double(2) is %d", got)
	}
}

func TestDoubleOfNothing(t *testing.T) { t.Skip("tests nothing") }
`,
	} {
		if err := os.WriteFile(filepath.Join(r.root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func doublingMutant(name, by string) mutant {
	return mutant{name, "the function does not double", "double.go", "2 * n", by, ".", "TestDouble"}
}

// TestRunAll runs a mutant that is caught, one that survives, and one that does not compile. The last two
// are failures.
func TestRunAll(t *testing.T) {
	t.Parallel()
	r, out := newRunner(t), new(strings.Builder)
	err := r.runAll(context.Background(), []mutant{doublingMutant("triples", "3 * n"), doublingMutant("squares", "n * n"), doublingMutant("halves", "n / m")}, out)
	if err == nil || err.Error() != "2 of 3 mutants were not caught" {
		t.Error(err)
	}
	for _, want := range []string{
		"triples: caught (", "; ..TestDouble; the function does not double)\n", "squares: SURVIVED (", "halves: DOES NOT BUILD (", "\n3 mutants, 1 caught, in ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(r.root, "double.go"))
	if err != nil || !strings.Contains(string(text), "2 * n") {
		t.Errorf("the tree has changed: %v\n%s", err, text)
	}
}

// TestRunAllRejectsUselessMutants: mutants that cannot prove anything are errors.
func TestRunAllRejectsUselessMutants(t *testing.T) {
	t.Parallel()
	gone, skipped, unknown, wrong := doublingMutant("gone", "n"), doublingMutant("skipped", "n"), doublingMutant("unknown", "n"), doublingMutant("wrong", "n")
	gone.old = "n * 2"
	skipped.test, unknown.test = "TestDoubleOfNothing", "TestTriple"
	for want, m := range map[string]mutant{
		"occurs 0 times in double.go": gone,
		"was not run\n=== RUN":        skipped,
		"was not run\ntesting: ":      unknown,
		"fails without a mistake":     wrong,
	} {
		r := newRunner(t)
		if m.name == "wrong" {
			if err := os.WriteFile(filepath.Join(r.root, "double.go"), []byte("package m\n\nfunc double(n int) int { return 0 * 2 * n }\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := r.runAll(context.Background(), []mutant{m}, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", m.name, err, want)
		}
	}
}
