// Command flake runs the tests many times on a busy machine, and lists the failed tests.
// A test that fails there and passes alone depends on time.
//
//	go run ./internal/flake [-n runs] [-busy processes] [-race] [-nice n] [package...]
//
// Everything runs at low priority: the busy processes at nice 10, the tests at nice 10
// plus -nice. Each run has another order of tests. The output of a failed run is kept in
// a file, whose name is printed.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

const busyEnv = "BATON_FLAKE_BUSY"

func main() {
	if os.Getenv(busyEnv) != "" {
		// The parent has the other end of stdin, so this process ends when the parent ends.
		go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
		//lint:ignore SA5002 the loop keeps a processor busy
		for {
		}
	}
	n := flag.Int("n", 10, "the number of `runs`")
	busy := flag.Int("busy", 4, "the number of busy `processes`")
	race := flag.Bool("race", false, "run the tests with the race detector")
	nice := flag.Int("nice", 0, "the additional `nice` value of the tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := runAll(ctx, *n, *busy, command(*race, *nice, flag.Args()), os.Stdout)
	if stop(); err != nil {
		fmt.Fprintln(os.Stderr, "flake:", err)
		os.Exit(1)
	}
}

func command(race bool, nice int, packages []string) []string {
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	args := []string{"nice", "-n", strconv.Itoa(10 + nice), "go", "test", "-json", "-count", "1", "-shuffle", "on"}
	if race {
		args = append(args, "-race")
	}
	return append(args, packages...)
}

// runAll runs the command n times, and returns an error if a test failed.
func runAll(ctx context.Context, n, busy int, command []string, out io.Writer) error {
	stop, err := load(ctx, busy)
	if err != nil {
		return err
	}
	defer stop()
	failed := map[string]int{}
	for i := range n {
		start := time.Now()
		text, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tests := failures(text)
		if len(tests) == 0 && err != nil { // for example a failed build
			return fmt.Errorf("%w\n%s", err, text)
		}
		for _, test := range tests {
			failed[test]++
		}
		fmt.Fprintf(out, "run %d of %d, %v: %d failed %s\n", i+1, n, time.Since(start).Round(time.Second), len(tests), strings.Join(tests, " "))
		if len(tests) > 0 {
			if err := keep(text, out); err != nil {
				return err
			}
		}
	}
	for _, test := range slices.SortedFunc(maps.Keys(failed), func(a, b string) int {
		return cmp.Or(cmp.Compare(failed[b], failed[a]), strings.Compare(a, b))
	}) {
		fmt.Fprintf(out, "%d of %d: %s\n", failed[test], n, test)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d tests failed in %d runs", len(failed), n)
	}
	return nil
}

// load starts busy processes. They run until stop is called.
func load(ctx context.Context, busy int) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, cmd := range all {
			_ = cmd.Wait() // returns the error of the kill
		}
	}
	for range busy {
		cmd := exec.CommandContext(ctx, "nice", "-n", "10", self)
		cmd.Env = append(os.Environ(), busyEnv+"=1")
		_, err := cmd.StdinPipe()
		if err := errors.Join(err, cmd.Start()); err != nil {
			stop()
			return nil, err
		}
		all = append(all, cmd)
	}
	return stop, nil
}

// failures returns the failed tests, and the packages that failed without a test. It names a failed
// subtest instead of its parent.
func failures(text []byte) []string {
	failed := map[string]bool{}
	for line := range bytes.Lines(text) {
		var event struct{ Action, Package, Test string }
		if json.Unmarshal(line, &event) == nil && event.Action == "fail" {
			failed[event.Package+"."+event.Test] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(failed)), func(test string) bool {
		for other := range failed {
			if other != test && strings.HasPrefix(other, test) && (strings.HasSuffix(test, ".") || other[len(test)] == '/') {
				return true
			}
		}
		return false
	})
}

// keep writes the output of a run to a file.
func keep(text []byte, out io.Writer) error {
	f, err := os.CreateTemp("", "baton-flake-*.json")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  output in", f.Name())
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
