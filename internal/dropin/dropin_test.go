package dropin_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "golang.org/x/sync/errgroup" // imported by semaphore_test.go

	"github.com/seed-3d5fec5c/baton/internal/dropin"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

const module = "github.com/seed-3d5fec5c/baton/internal/dropin"

// suites are the test files. Each string of replace must occur in the file once.
var suites = []struct {
	dir     string // of the package here that replaces the tested one
	command string // prints the root of file
	file    string
	replace map[string]string
}{
	{"sync", "go env GOROOT", "src/sync/mutex_test.go", map[string]string{
		`. "sync"`:           `. "` + module + `/sync"`,
		`"internal/testenv"`: `"` + module + `/testenv"`,
		// A misuse of sync.Mutex is a fatal error, which recover does not stop. Ours panics.
		`defer func() { recover() }()`: ``,
	}},
	{"sync", "go env GOROOT", "src/sync/rwmutex_test.go", map[string]string{
		`. "sync"`: `. "` + module + `/sync"`,
	}},
	{"sync", "go env GOROOT", "src/sync/waitgroup_test.go", map[string]string{
		`. "sync"`:           `. "` + module + `/sync"`,
		`"internal/testenv"`: `"` + module + `/testenv"`,
		// Our panic has another text.
		`err != "sync: negative WaitGroup counter"`: `e, ok := err.(error); !ok || !strings.Contains(e.Error(), "negative")`,
	}},
	{"sync", "go env GOROOT", "src/sync/once_test.go", map[string]string{
		`. "sync"`: `. "` + module + `/sync"`,
	}},
	{"singleflight", "go list -m -f {{.Dir}} golang.org/x/sync", "singleflight/singleflight_test.go", map[string]string{
		// A busy machine's Redis takes its time.
		"panicCount)\n\t\t}\n\tcase <-time.After(time.Second)": "panicCount)\n\t\t}\n\tcase <-time.After(time.Minute)",
		"case <-done:\n\tcase <-time.After(time.Second)":       "case <-done:\n\tcase <-time.After(time.Minute)",
	}},
	{"semaphore", "go list -m -f {{.Dir}} golang.org/x/sync", "semaphore/semaphore_test.go", map[string]string{
		`"golang.org/x/sync/semaphore"`: `"` + module + `/semaphore"`,
		// Free permits cost a round trip.
		`context.WithTimeout(ctx, 10*time.Millisecond)`: `context.WithTimeout(ctx, 2*time.Second)`,
	}},
	{"semaphore", "go list -m -f {{.Dir}} golang.org/x/sync", "semaphore/semaphore_example_test.go", map[string]string{
		`"golang.org/x/sync/semaphore"`: `"` + module + `/semaphore"`,
	}},
}

// skipped is a test of functions of the runtime that sync.Mutex uses.
const skipped = "TestSemaphore"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOriginals runs the tests of sync, x/sync/semaphore and x/sync/singleflight on our types. An
// overlay adds the files to the packages here without a copy in the tree.
func TestOriginals(t *testing.T) {
	t.Setenv(dropin.URLEnv, redistest.Start(t).URL())
	here, err := os.Getwd()
	check(t, err)
	temp, overlay, want := t.TempDir(), map[string]string{}, []string{}
	for _, s := range suites {
		root := strings.TrimSpace(string(goCommand(t, strings.Fields(s.command)...)))
		text, err := os.ReadFile(filepath.Join(root, s.file))
		check(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Example)\w+)\(`).FindAllSubmatch(text, -1) {
			want = append(want, string(m[1]))
		}
		for from, to := range s.replace {
			if n := strings.Count(string(text), from); n != 1 {
				t.Errorf("%s contains %s %d times", s.file, from, n)
			}
			text = []byte(strings.ReplaceAll(string(text), from, to))
		}
		name := filepath.Base(s.file)
		path := filepath.Join(temp, name)
		check(t, os.WriteFile(path, text, 0o600))
		overlay[filepath.Join(here, s.dir, name)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	check(t, err)
	path := filepath.Join(temp, "overlay.json")
	check(t, os.WriteFile(path, text, 0o600))
	out := goCommand(t, "go", "test", "-overlay", path, "-count=1", "-v", "-skip", "^"+skipped+"$", "./sync", "./semaphore", "./singleflight")
	for _, name := range want {
		if passed := strings.Contains(string(out), "--- PASS: "+name+" ("); passed == (name == skipped) {
			t.Errorf("%s passed: %t", name, passed)
		}
	}
}

// goCommand returns the output of a Go command, and fails the test if the command fails.
func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}
