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

// A lab builds mutants of the module at root, and runs tests on them. A program is
// the tests of a package.
type lab struct {
	root  string
	dir   string // for what it builds
	test  string // in place of those that are listed, if not ""
	count int    // how often a mutant must be caught
	jobs  int    // how many mutants it tries at a time

	mu       sync.Mutex
	programs map[string]func() (string, error) // those without a mistake, by package
}

// program returns the tests of a package without a mistake: for a mistake in a
// script, those that read the scripts from a directory.
func (l *lab) program(ctx context.Context, pkg string, script bool) (bin string, err error) {
	name := strings.ReplaceAll(pkg, "/", "-") + strconv.FormatBool(script)
	l.mu.Lock()
	if l.programs == nil {
		l.programs = map[string]func() (string, error){}
	}
	build := l.programs[name]
	if build == nil {
		build = sync.OnceValues(func() (string, error) {
			change := map[string][]byte{}
			if script {
				text, err := fromDisk(l.root)
				if err != nil {
					return "", err
				}
				change[loader] = text
			}
			bin := filepath.Join(l.dir, name)
			if output, err := l.build(ctx, pkg, change, bin); err != nil {
				return "", fmt.Errorf("%s does not build: %w\n%s", pkg, err, output)
			}
			return bin, nil
		})
		l.programs[name] = build
	}
	l.mu.Unlock()
	return build()
}

// build compiles the tests of a package, with the files that are read in place of
// the module's, which stay in a directory beside bin.
func (l *lab) build(ctx context.Context, pkg string, change map[string][]byte, bin string) (output string, err error) {
	dir := bin + ".files"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range change {
		to := filepath.Join(dir, filepath.Base(file))
		replace[filepath.Join(l.root, file)] = to
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err := errors.Join(err, os.WriteFile(overlay, list, 0o600)); err != nil {
		return "", err
	}
	// To build is most of the work, and less of it without optimizations and symbols.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-gcflags=-N -l", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, "./"+pkg)
	cmd.Dir = l.root
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// A bench is where one mutant is tried at a time.
type bench struct {
	*lab
	dir string
}

// mutated returns the tests of a package with the mutant's mistake. The verdict is
// caught, as a test must still show, or unbuilt.
func (b *bench) mutated(ctx context.Context, m mutant, pkg string) (bin string, v verdict, output string, err error) {
	text, err := m.apply(b.root)
	if err != nil {
		return "", "", "", err
	}
	if m.isScript() {
		bin, err = b.program(ctx, pkg, true)
		err = errors.Join(err, b.copyScripts(), os.WriteFile(filepath.Join(b.scriptsDir(), strings.TrimPrefix(m.file, library)), text, 0o600))
		return bin, caught, "", err
	}
	bin = filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
	if output, err = b.build(ctx, pkg, map[string][]byte{m.file: text}, bin); err != nil {
		return "", unbuilt, output, ctx.Err()
	}
	return bin, caught, "", nil
}

// try runs a test on the mutant, and returns how long that took.
func (b *bench) try(ctx context.Context, m mutant) (v verdict, took time.Duration, output string, err error) {
	bin, v, output, err := b.mutated(ctx, m, m.pkg)
	if err != nil || v == unbuilt {
		return v, 0, output, err
	}
	pattern := m.pattern()
	if b.test != "" {
		pattern = b.test
	}
	start := time.Now()
	for range b.count {
		if output, err = b.run(ctx, m.pkg, bin, 30*time.Second, "-test.run", pattern); err == nil {
			v = survived
			break
		}
	}
	return v, time.Since(start), output, ctx.Err()
}

var (
	ended   = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) `)
	running = regexp.MustCompile(`(?m)^\t(Test\w+)(?:/\S+)? \(`)                                        // as a timeout lists them
	begun   = regexp.MustCompile(`(?m)^(?:=== (?:RUN|CONT) +|\S+/\w+(?:_test)?\.)(Test\w+)(?:$|[/.(])`) // the last to begin, or in the trace of a panic
)

// quick are the flags with which a package's tests take seconds, for the matrix.
var quick = map[string][]string{"internal/lease": {"-sim.seeds=60", "-sweep.pairs=0"}}

// catchers runs all tests of a package on the mutant and returns those that fail. A
// panic ends a run: the tests that it kept from running are run again.
func (b *bench) catchers(ctx context.Context, m mutant, pkg string) (tests []string, err error) {
	bin, v, output, err := b.mutated(ctx, m, pkg)
	if err != nil || v == unbuilt {
		return nil, errors.Join(err, errors.New(output))
	}
	done := map[string]bool{}
	for {
		args := append([]string{"-test.v"}, quick[pkg]...)
		if len(done) > 0 {
			args = append(args, "-test.skip", "^("+strings.Join(slices.Sorted(maps.Keys(done)), "|")+")$")
		}
		output, _ := b.run(ctx, pkg, bin, 3*time.Minute, args...)
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
		guilty := running.FindAllStringSubmatch(output[at:], -1)
		if guilty == nil {
			guilty = begun.FindAllStringSubmatch(output[at:], 1)
		}
		if guilty == nil {
			guilty = begun.FindAllStringSubmatch(output, -1)
			guilty = guilty[max(0, len(guilty)-1):]
		}
		for _, g := range guilty {
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

// run runs tests of a program.
func (b *bench) run(ctx context.Context, pkg, bin string, timeout time.Duration, flags ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, bin, append(flags, "-test.timeout", timeout.String())...)
	cmd.Dir = filepath.Join(b.root, pkg)
	cmd.Env = append(os.Environ(), scripts+"="+b.scriptsDir(), redistest.TimedEnv+"=1")
	text, err := cmd.CombinedOutput()
	return string(text), err
}
