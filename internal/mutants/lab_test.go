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

// newLab returns a lab for a module of one function and a test of it.
func newLab(t *testing.T) *lab {
	l := &lab{root: t.TempDir(), dir: t.TempDir(), count: 1, jobs: 2}
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

func TestDoubleOfNothing(t *testing.T) { t.Skip("there is no nothing") }
`,
	} {
		if err := os.WriteFile(filepath.Join(l.root, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func doubling(name, by string) mutant {
	return mutant{name, "it does not double", "double.go", "2 * n", by, ".", "TestDouble"}
}

// TestTryAll has one mutant that is caught, one that is not, and one of which only
// the compiler knows: the last two are failures.
func TestTryAll(t *testing.T) {
	t.Parallel()
	l, out := newLab(t), new(strings.Builder)
	err := l.tryAll(context.Background(), []mutant{doubling("triples", "3 * n"), doubling("squares", "n * n"), doubling("halves", "n / m")}, out)
	if err == nil || err.Error() != "2 of 3 mutants were not caught" {
		t.Error(err)
	}
	for _, want := range []string{
		"triples: caught (", "; ..TestDouble; it does not double)\n", "squares: SURVIVED (", "halves: DOES NOT BUILD (", "\n3 mutants, 1 caught, in ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	text, err := os.ReadFile(filepath.Join(l.root, "double.go"))
	if err != nil || !strings.Contains(string(text), "2 * n") {
		t.Errorf("it has changed the tree: %v\n%s", err, text)
	}
}

// TestTryAllProvesNothing lists mutants of which nothing can be shown.
func TestTryAllProvesNothing(t *testing.T) {
	t.Parallel()
	gone, skipped, unknown, wrong := doubling("gone", "n"), doubling("skipped", "n"), doubling("unknown", "n"), doubling("wrong", "n")
	gone.old = "n * 2"
	skipped.test, unknown.test = "TestDoubleOfNothing", "TestTriple"
	for want, m := range map[string]mutant{
		"stands 0 times in double.go": gone,
		"was not run\n=== RUN":        skipped,
		"was not run\ntesting: ":      unknown,
		"fails without any mistake":   wrong,
	} {
		l := newLab(t)
		if m.name == "wrong" {
			if err := os.WriteFile(filepath.Join(l.root, "double.go"), []byte("package m\n\nfunc double(n int) int { return 0 * 2 * n }\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := l.tryAll(context.Background(), []mutant{m}, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", m.name, err, want)
		}
	}
}
