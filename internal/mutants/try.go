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

// unmutated runs the tests that are listed for the mutants on the library as it is.
// One that fails anyway, or that is skipped, would prove nothing.
func (l *lab) unmutated(ctx context.Context, ms []mutant) error {
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
	return l.each(len(tests), func(b *bench, i int) error {
		p := slices.SortedFunc(maps.Keys(tests), func(x, y program) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })[i]
		bin, err := l.program(ctx, p.pkg, p.script)
		if err == nil && p.script {
			err = b.copyScripts()
		}
		if err != nil {
			return err
		}
		names := slices.Sorted(maps.Keys(tests[p]))
		output, err := b.run(ctx, p.pkg, bin, 10*time.Minute, "-test.v", "-test.run", "^("+strings.Join(names, "|")+")$")
		if err != nil {
			return fmt.Errorf("a test of %s fails without any mistake: %w\n%s", p.pkg, err, output)
		}
		for _, name := range names {
			if !strings.Contains(output, "--- PASS: "+name+" ") {
				return fmt.Errorf("%s of %s was not run\n%s", name, p.pkg, output)
			}
		}
		return nil
	})
}

// each calls f for 0 to n-1, on as many benches as there are jobs.
func (l *lab) each(n int, f func(b *bench, i int) error) error {
	next, errs := make(chan int), make(chan error)
	for range l.jobs {
		go func() {
			dir, err := os.MkdirTemp(l.dir, "bench")
			for i := range next {
				if err == nil {
					err = f(&bench{l, dir}, i)
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
	for range l.jobs {
		all = errors.Join(all, <-errs)
	}
	return all
}

// tryAll tries the mutants, and prints what became of each: a line, and below it what the test
// printed if it has not caught the mutant.
func (l *lab) tryAll(ctx context.Context, ms []mutant, out io.Writer) error {
	if err := check(l.root, ms); err != nil {
		return err
	}
	start := time.Now()
	if l.test == "" {
		if err := l.unmutated(ctx, ms); err != nil {
			return err
		}
		fmt.Fprintf(out, "Without a mistake the tests pass, in %.0f s.\n\n", time.Since(start).Seconds())
	}
	var mu sync.Mutex
	bad := 0
	err := l.each(len(ms), func(b *bench, i int) error {
		m := ms[i]
		v, took, output, err := b.try(ctx, m)
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
		return errors.New("no mutant has such a name")
	}
	for _, m := range ms {
		if _, err := m.apply(root); err != nil {
			return err
		}
	}
	return nil
}

// packages are those whose tests may notice a mistake in a file.
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
