package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newLab returns a lab for a module of one function and a test of it.
func newLab(t *testing.T) *lab {
	l := &lab{root: t.TempDir(), dir: t.TempDir(), timeout: time.Minute, count: 1, jobs: 2}
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
	err := l.tryAll(context.Background(), []mutant{doubling("triples", "3 * n"), doubling("squares", "n * n"), doubling("halves", "n / m")}, false, out)
	if err == nil || err.Error() != "2 of 3 mutants were not caught" {
		t.Error(err)
	}
	for _, want := range []string{
		"| triples | it does not double | ..TestDouble | caught, ", "| `double_test.go:7: double(2) is 6` |\n",
		"| squares | it does not double | ..TestDouble | SURVIVED, ", "| halves | it does not double | ..TestDouble | DOES NOT BUILD, ",
		"\n3 mutants, 1 caught, in ",
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
		err := l.tryAll(context.Background(), []mutant{m}, false, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", m.name, err, want)
		}
	}
}

func TestFirstFailing(t *testing.T) {
	for output, want := range map[string]string{
		"--- FAIL: TestX\n    x_test.go:7: a | b\n    x_test.go:8: c\n":                  `x_test.go:7: a \| b`,
		"panic: deadlock\n\ngoroutine 1":                                                 "panic: deadlock",
		"--- FAIL: TestX\n    x_test.go:7: baton:300:some-host:17:ABCDEFGH:1z is let in": "x_test.go:7: … is let in",
		"FAIL\n": "it says nothing",
	} {
		if got := firstFailing(output); got != want {
			t.Errorf("of %q: %q, want %q", output, got, want)
		}
	}
}
