package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A runner runs tests on mutants of the module at root.
type runner struct {
	root  string
	dir   string // for test binaries
	test  string // replaces the listed tests if not ""
	count int    // runs of each test; all must fail
	jobs  int    // tests that run at a time

	mu     sync.Mutex
	passed map[string]func() error // results of tests without a mistake
}

// build builds the tests of the packages, with the mistakes of all mutants in ms.
func (r *runner) build(ctx context.Context, ms []mutant, pkgs map[string]bool) error {
	files, err := switchable(r.root, ms)
	if err != nil {
		return err
	}
	replace := map[string]string{}
	for file, text := range files {
		to := filepath.Join(r.dir, "files", file)
		replace[filepath.Join(r.root, file)] = to
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	overlay := filepath.Join(r.dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err := errors.Join(err, os.WriteFile(overlay, list, 0o600)); err != nil {
		return err
	}
	args := []string{"test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", r.dir + "/"}
	for pkg := range pkgs {
		args = append(args, "./"+pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// run runs tests of a package with a mistake, or without if m is nil.
func (r *runner) run(ctx context.Context, m *mutant, pkg, pattern string, timeout time.Duration, flags ...string) (output string, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.dir, filepath.Base(pkg)+".test"), append(flags, "-test.v", "-test.run", pattern, "-test.timeout", timeout.String())...)
	cmd.Dir = filepath.Join(r.root, pkg)
	cmd.Env = append(os.Environ(), redistest.TimedEnv+"=1")
	if m != nil {
		cmd.Env = append(cmd.Env, m.environ()...)
	}
	text, err := cmd.CombinedOutput()
	return string(text), errors.Join(ctx.Err(), err)
}

// passes runs a test without a mistake, once. A test that fails or is skipped would prove nothing.
func (r *runner) passes(ctx context.Context, pkg, test string, flags ...string) error {
	r.mu.Lock()
	name := pkg + "." + test
	if r.passed[name] == nil {
		r.passed[name] = sync.OnceValue(func() error {
			output, err := r.run(ctx, nil, pkg, pattern(test), 3*time.Minute, flags...)
			switch {
			case err != nil:
				return fmt.Errorf("%s fails without a mistake: %w\n%s", name, err, output)
			case !strings.Contains(output, "--- PASS: "+test+" ("):
				return fmt.Errorf("%s was not run\n%s", name, output)
			}
			return nil
		})
	}
	check := r.passed[name]
	r.mu.Unlock()
	return check()
}

// forEach calls f for 0 to n-1, r.jobs at a time.
func (r *runner) forEach(n int, f func(i int) error) error {
	errs := make([]error, n)
	slots := make(chan struct{}, r.jobs)
	var running sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		running.Go(func() {
			errs[i] = f(i)
			<-slots
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// runAll runs the mutants, and prints one line for each. If a mutant survives, it also prints the
// output of the test.
func (r *runner) runAll(ctx context.Context, all, ms []mutant, out io.Writer) error {
	start := time.Now()
	pkgs := map[string]bool{}
	for _, m := range ms {
		pkgs[m.pkg] = true
	}
	if err := r.build(ctx, all, pkgs); err != nil {
		return err
	}
	fmt.Fprintf(out, "The tests are built, in %.0f s.\n\n", time.Since(start).Seconds())
	slices.SortStableFunc(ms, func(x, y mutant) int { return strings.Compare(y.pkg, x.pkg) }) // the slow tests of the public packages first
	var mu sync.Mutex
	survived := 0
	err := r.forEach(len(ms), func(i int) error {
		m := ms[i]
		tests := r.test
		if tests == "" {
			if err := r.passes(ctx, m.pkg, m.test); err != nil {
				return err
			}
			tests = pattern(m.test)
		}
		verdict, output, begin := "caught", "", time.Now()
		for range r.count {
			var err error
			if output, err = r.run(ctx, &m, m.pkg, tests, 30*time.Second); err == nil {
				verdict = "SURVIVED"
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s: %s (%.1f s; %s.%s; %s)\n", m.name, verdict, time.Since(begin).Seconds(), m.pkg, m.test, m.breaks)
		if verdict != "caught" {
			survived++
			fmt.Fprintln(out, output)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d mutants, %d caught, in %.0f s.\n", len(ms), len(ms)-survived, time.Since(start).Seconds())
	if survived > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", survived, len(ms))
	}
	return nil
}
