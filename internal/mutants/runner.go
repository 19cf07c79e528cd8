package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A runner builds mutants of the module at root, and runs tests on them. A program is the test binary of a
// package.
type runner struct {
	root  string
	dir   string // for test binaries
	test  string // replaces the listed tests if not ""
	count int    // runs of each test; all must fail
	jobs  int    // mutants that run at a time

	mu       sync.Mutex
	programs map[string]func() (string, error) // test binaries without a mistake, by package
}

// program returns the test binary of a package without a mistake. For mutants of scripts, the binary reads
// the scripts from a directory.
func (r *runner) program(ctx context.Context, pkg string, script bool) (bin string, err error) {
	name := strings.ReplaceAll(pkg, "/", "-") + strconv.FormatBool(script)
	r.mu.Lock()
	if r.programs == nil {
		r.programs = map[string]func() (string, error){}
	}
	build := r.programs[name]
	if build == nil {
		build = sync.OnceValues(func() (string, error) {
			change := map[string][]byte{}
			if script {
				text, err := fromDisk(r.root)
				if err != nil {
					return "", err
				}
				change[loader] = text
			}
			bin := filepath.Join(r.dir, name)
			if output, err := r.build(ctx, pkg, change, bin); err != nil {
				return "", fmt.Errorf("%s does not build: %w\n%s", pkg, err, output)
			}
			return bin, nil
		})
		r.programs[name] = build
	}
	r.mu.Unlock()
	return build()
}

// build compiles the tests of a package with changed files. It keeps the changed files in a directory next to
// bin.
func (r *runner) build(ctx context.Context, pkg string, change map[string][]byte, bin string) (output string, err error) {
	dir := bin + ".files"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range change {
		to := filepath.Join(dir, filepath.Base(file))
		replace[filepath.Join(r.root, file)] = to
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err := errors.Join(err, os.WriteFile(overlay, list, 0o600)); err != nil {
		return "", err
	}
	// Building is most of the work, and faster without optimizations and symbols.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-gcflags=-N -l", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, "./"+pkg)
	cmd.Dir = r.root
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// A worker runs one mutant at a time.
type worker struct {
	*runner
	dir string
}

// buildMutant returns the test binary of a package with the mutant's mistake. The verdict is unbuilt, or
// caught, which the test must confirm.
func (w *worker) buildMutant(ctx context.Context, m mutant, pkg string) (bin string, v verdict, output string, err error) {
	text, err := m.apply(w.root)
	if err != nil {
		return "", "", "", err
	}
	if m.isScript() {
		bin, err = w.program(ctx, pkg, true)
		err = errors.Join(err, w.copyScripts(), os.WriteFile(filepath.Join(w.scriptsDir(), strings.TrimPrefix(m.file, library)), text, 0o600))
		return bin, caught, "", err
	}
	bin = filepath.Join(w.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
	if output, err = w.build(ctx, pkg, map[string][]byte{m.file: text}, bin); err != nil {
		return "", unbuilt, output, ctx.Err()
	}
	return bin, caught, "", nil
}

// testMutant runs the test on the mutant, and returns its duration.
func (w *worker) testMutant(ctx context.Context, m mutant) (v verdict, took time.Duration, output string, err error) {
	bin, v, output, err := w.buildMutant(ctx, m, m.pkg)
	if err != nil || v == unbuilt {
		return v, 0, output, err
	}
	pattern := m.pattern()
	if w.test != "" {
		pattern = w.test
	}
	start := time.Now()
	for range w.count {
		if output, err = w.run(ctx, m.pkg, bin, 30*time.Second, "-test.run", pattern); err == nil {
			v = survived
			break
		}
	}
	return v, time.Since(start), output, ctx.Err()
}

var (
	ended   = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) `)
	running = regexp.MustCompile(`(?m)^\t(Test\w+)(?:/\S+)? \(`)                                        // format of a timeout
	started = regexp.MustCompile(`(?m)^(?:=== (?:RUN|CONT) +|\S+/\w+(?:_test)?\.)(Test\w+)(?:$|[/.(])`) // the last started test, or a test in the trace of a panic
)

// quickFlags has flags with which a package's tests take seconds, for the matrix.
var quickFlags = map[string][]string{"internal/lease": {"-sim.seeds=60", "-sweep.pairs=0"}}

// catchingTests runs all tests of a package on the mutant, and returns the failed tests. After a panic, it
// runs the remaining tests.
func (w *worker) catchingTests(ctx context.Context, m mutant, pkg string) (tests []string, err error) {
	bin, v, output, err := w.buildMutant(ctx, m, pkg)
	if err != nil || v == unbuilt {
		return nil, errors.Join(err, errors.New(output))
	}
	done := map[string]bool{}
	for {
		args := append([]string{"-test.v"}, quickFlags[pkg]...)
		if len(done) > 0 {
			args = append(args, "-test.skip", "^("+strings.Join(slices.Sorted(maps.Keys(done)), "|")+")$")
		}
		output, _ := w.run(ctx, pkg, bin, 3*time.Minute, args...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		before := len(done)
		for _, e := range ended.FindAllStringSubmatch(output, -1) {
			if e[1] == "FAIL" {
				tests = append(tests, e[2])
			}
			done[e[2]] = true
		}
		at := strings.Index(output, "\npanic: ")
		if at < 0 {
			at = strings.Index(output, "\nfatal error: ")
		}
		if at < 0 {
			break
		}
		failing := running.FindAllStringSubmatch(output[at:], -1)
		if failing == nil {
			failing = started.FindAllStringSubmatch(output[at:], 1)
		}
		if failing == nil {
			failing = started.FindAllStringSubmatch(output, -1)
			failing = failing[max(0, len(failing)-1):]
		}
		for _, g := range failing {
			if !done[g[1]] {
				tests, done[g[1]] = append(tests, g[1]), true
			}
		}
		if len(done) == before {
			break
		}
	}
	slices.Sort(tests)
	for i, test := range tests {
		tests[i] = pkg + "." + test
	}
	return slices.Compact(tests), nil
}

// run runs tests of a test binary.
func (w *worker) run(ctx context.Context, pkg, bin string, timeout time.Duration, flags ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, bin, append(flags, "-test.timeout", timeout.String())...)
	cmd.Dir = filepath.Join(w.root, pkg)
	cmd.Env = append(os.Environ(), scripts+"="+w.scriptsDir(), redistest.TimedEnv+"=1")
	text, err := cmd.CombinedOutput()
	return string(text), err
}
