package main

import (
	"slices"
	"strings"
	"testing"
)

// TestListsEveryFailure runs a command twice that always fails.
func TestListsEveryFailure(t *testing.T) {
	var out strings.Builder
	t.Setenv("TMPDIR", t.TempDir())
	err := runAll(t.Context(), 2, 0, []string{"sh", "-c", `echo '{"Action":"fail","Package":"p","Test":"TestX"}'; exit 1`}, &out)
	if err == nil || !strings.Contains(out.String(), "\n2 of 2: p.TestX\n") {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := runAll(t.Context(), 1, 0, []string{"true"}, &out); err != nil {
		t.Error(err)
	}
	if err := runAll(t.Context(), 1, 0, []string{"false"}, &out); err == nil {
		t.Error("a command that fails without a failed test passed")
	}
}

func TestFailuresNamesTheFailedSubtest(t *testing.T) {
	got := failures([]byte(`{"Action":"fail","Package":"p","Test":"TestX/a"}
{"Action":"fail","Package":"p","Test":"TestX"}
{"Action":"fail","Package":"p","Test":"TestXY"}
{"Action":"pass","Package":"p","Test":"TestZ"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"q"}
`))
	if want := []string{"p.TestX/a", "p.TestXY", "q."}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
