package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// tryAll tries the mutants one by one, and prints a table of what became of them.
func (l *lab) tryAll(ctx context.Context, ms []mutant, verbose bool, out io.Writer) error {
	if len(ms) == 0 {
		return errors.New("no mutant has such a name")
	}
	for _, m := range ms {
		if _, err := m.apply(l.root); err != nil {
			return err
		}
	}
	type program struct {
		pkg, test string
		script    bool
	}
	start, passed := time.Now(), map[program]bool{}
	for _, m := range ms {
		p := program{m.pkg, m.test, m.isScript()}
		if passed[p] {
			continue
		}
		if err := l.unmutated(ctx, m); err != nil {
			return err
		}
		passed[p] = true
	}
	fmt.Fprintf(out, "Without a mistake the %d tests pass, in %.0f s.\n\n", len(passed), time.Since(start).Seconds())
	fmt.Fprintln(out, "| mutant | what it breaks | test | | first failing line |\n|---|---|---|---|---|")
	bad := 0
	for _, m := range ms {
		v, took, output, err := l.try(ctx, m)
		if err != nil {
			return err
		}
		line := ""
		if v != survived {
			line = "`" + firstFailing(output) + "`"
		}
		if v != caught {
			bad++
		}
		if verbose {
			fmt.Fprintf(out, "\n%s: %s\n%s\n", m.name, v, output)
		}
		fmt.Fprintf(out, "| %s | %s | %s.%s | %v, %.1f s | %s |\n", m.name, m.breaks, filepath.Base(m.pkg), m.test, v, took.Seconds(), line)
	}
	fmt.Fprintf(out, "\n%d mutants, %d caught, in %.0f s.\n", len(ms), len(ms)-bad, time.Since(start).Seconds())
	if bad > 0 {
		return fmt.Errorf("%d of %d mutants were not caught", bad, len(ms))
	}
	return nil
}
