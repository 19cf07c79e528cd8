package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// checkUnmutated runs the mutants' tests on the library without a mistake. A test that fails or is skipped
// would prove nothing.
func (r *runner) checkUnmutated(ctx context.Context, ms []mutant) error {
	type program struct {
		pkg    string
		script bool
	}
	tests := map[program]map[string]bool{}
	for _, m := range ms {
		p := program{m.pkg, m.isScript()}
		if tests[p] == nil {
			tests[p] = map[string]bool{}
		}
		name, _, _ := strings.Cut(m.test, "/")
		tests[p][name] = true
	}
	return r.forEach(len(tests), func(w *worker, i int) error {
		p := slices.SortedFunc(maps.Keys(tests), func(x, y program) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })[i]
		bin, err := r.program(ctx, p.pkg, p.script)
		if err == nil && p.script {
			err = w.copyScripts()
		}
		if err != nil {
			return err
		}
		names := slices.Sorted(maps.Keys(tests[p]))
		output, err := w.run(ctx, p.pkg, bin, 10*time.Minute, "-test.v", "-test.run", "^("+strings.Join(names, "|")+")$")
		if err != nil {
			return fmt.Errorf("a test of %s fails without a mistake: %w\n%s", p.pkg, err, output)
		}
		for _, name := range names {
			if !strings.Contains(output, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s of %s was not run\n%s", name, p.pkg, output)
			}
		}
		return nil
	})
}

// forEach calls f for 0 to n-1, with r.jobs workers.
func (r *runner) forEach(n int, f func(w *worker, i int) error) error {
	next, errs := make(chan int), make(chan error)
	for range r.jobs {
		go func() {
			dir, err := os.MkdirTemp(r.dir, "bench")
			for i := range next {
				if err == nil {
					err = f(&worker{r, dir}, i)
				}
			}
			errs <- err
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var all error
	for range r.jobs {
		all = errors.Join(all, <-errs)
	}
	return all
}

// runAll runs the mutants, and prints one line for each. If a mutant was not caught, it also prints the
// output of the test.
func (r *runner) runAll(ctx context.Context, ms []mutant, out io.Writer) error {
	if err := check(r.root, ms); err != nil {
		return err
	}
	start := time.Now()
	if r.test == "" {
		if err := r.checkUnmutated(ctx, ms); err != nil {
			return err
		}
		fmt.Fprintf(out, "The tests pass without a mistake, in %.0f s.\n\n", time.Since(start).Seconds())
	}
	var mu sync.Mutex
	bad := 0
	err := r.forEach(len(ms), func(w *worker, i int) error {
		m := ms[i]
		v, took, output, err := w.testMutant(ctx, m)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s: %s (%.1f s; %s.%s; %s)\n", m.name, v, took.Seconds(), m.pkg, m.test, m.breaks)
		if v != caught {
			bad++
			fmt.Fprintln(out, output)
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d mutants, %d caught, in %.0f s.\n", len(ms), len(ms)-bad, time.Since(start).Seconds())
	if bad > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", bad, len(ms))
	}
	return nil
}

func check(root string, ms []mutant) error {
	if len(ms) == 0 {
		return errors.New("no mutant has a matching name")
	}
	for _, m := range ms {
		if _, err := m.apply(root); err != nil {
			return err
		}
	}
	return nil
}

// packages returns the packages whose tests may catch a mistake in a file.
func packages(file string) []string {
	switch dir := filepath.Dir(file); dir {
	case "internal/lease", "internal/redisstore":
		return []string{dir, "mutex", "semaphore", "waitgroup"}
	case "internal/redisstore/lib":
		return packages(dir)
	case "internal/retry", "internal/result", "internal/client":
		return []string{dir, "internal/lease", "mutex", "semaphore", "waitgroup"}
	case "internal/taskgroup":
		return []string{dir, "internal/lease", "waitgroup"}
	case "internal/ratelimit":
		return []string{dir, "internal/lease", "semaphore"}
	case "internal/trace":
		return []string{"internal/lease"}
	default:
		return []string{dir}
	}
}
