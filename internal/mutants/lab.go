package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A lab builds mutants of the module at root, and runs tests on them.
type lab struct {
	root    string
	dir     string        // for what it builds, and the scripts
	test    string        // in place of those that are listed, if not ""
	count   int           // how often a mutant must be caught
	timeout time.Duration // of one test

	built map[string]string // the tests of a package without a mistake, and with scripts from dir
}

// unmutated runs the test that is listed for the mutant on the library as it is.
// One that fails anyway, or that is skipped, would prove nothing.
func (l *lab) unmutated(ctx context.Context, m mutant) error {
	bin, err := l.program(ctx, m)
	if err != nil {
		return err
	}
	output, err := l.run(ctx, m, bin, "-test.v")
	switch {
	case err != nil:
		return fmt.Errorf("%s of %s fails without any mistake: %w\n%s", m.test, m.pkg, err, output)
	case l.test != "": // among many, some may be skipped
	case strings.Contains(output, "--- SKIP: "), !strings.Contains(output, "--- PASS: "):
		return fmt.Errorf("%s of %s was not run\n%s", m.test, m.pkg, output)
	}
	return nil
}

// program returns the tests of the mutant's package, without its mistake.
func (l *lab) program(ctx context.Context, m mutant) (bin string, err error) {
	name := m.pkg + strconv.FormatBool(m.isScript())
	if bin = l.built[name]; bin != "" {
		return bin, nil
	}
	if l.built == nil {
		l.built = make(map[string]string)
	}
	var change map[string][]byte
	if m.isScript() {
		text, err := fromDisk(l.root)
		if err := errors.Join(err, copyScripts(l.root, l.dir)); err != nil {
			return "", err
		}
		change = map[string][]byte{loader: text}
	}
	bin = filepath.Join(l.dir, strings.ReplaceAll(name, "/", "-"))
	if output, err := l.build(ctx, m.pkg, change, bin); err != nil {
		return "", fmt.Errorf("%s does not build: %w\n%s", m.pkg, err, output)
	}
	l.built[name] = bin
	return bin, nil
}

// try runs the mutant's test on it, and returns how long that took.
func (l *lab) try(ctx context.Context, m mutant) (v verdict, took time.Duration, output string, err error) {
	text, err := m.apply(l.root)
	if err != nil {
		return 0, 0, "", err
	}
	bin := filepath.Join(l.dir, "mutant.test")
	if m.isScript() {
		if bin, err = l.program(ctx, m); err != nil {
			return 0, 0, "", err
		}
		if err := os.WriteFile(filepath.Join(l.dir, filepath.Base(m.file)), text, 0o600); err != nil {
			return 0, 0, "", err
		}
		defer func() { err = errors.Join(err, copyScripts(l.root, l.dir)) }()
	} else if output, err := l.build(ctx, m.pkg, map[string][]byte{m.file: text}, bin); err != nil {
		return unbuilt, 0, output, ctx.Err()
	}
	start := time.Now()
	for range l.count {
		if output, err = l.run(ctx, m, bin); err == nil {
			v = survived
			break
		}
	}
	return v, time.Since(start), output, ctx.Err()
}

// build compiles the tests of a package, with the files that are to be read in
// place of the module's.
func (l *lab) build(ctx context.Context, pkg string, change map[string][]byte, bin string) (output string, err error) {
	replace := map[string]string{}
	for file, text := range change {
		to := filepath.Join(l.dir, filepath.Base(file))
		replace[filepath.Join(l.root, file)] = to
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err := errors.Join(err, os.WriteFile(overlay, list, 0o600)); err != nil {
		return "", err
	}
	// To link is much of the work, and less of it without symbols.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, "./"+pkg)
	cmd.Dir = l.root
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// run runs the test of a mutant, which bin has.
func (l *lab) run(ctx context.Context, m mutant, bin string, flags ...string) (output string, err error) {
	pattern := m.pattern()
	if l.test != "" {
		pattern = l.test
	}
	cmd := exec.CommandContext(ctx, bin, append(flags, "-test.run", pattern, "-test.timeout", l.timeout.String())...)
	cmd.Dir = filepath.Join(l.root, m.pkg)
	cmd.Env = append(os.Environ(), scripts+"="+l.dir)
	text, err := cmd.CombinedOutput()
	return string(text), err
}
