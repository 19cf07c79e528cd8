package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A result is the outcome of the tests on a server.
type result struct {
	version         string
	passed, skipped int
	failed          []string // package.Test
	output          string   // output of the failed packages
	took            time.Duration
}

// test runs go test with the server, once for each list of arguments. An error means that the
// tests did not run.
func test(ctx context.Context, binary string, runs [][]string) (r result, err error) {
	if r.version, err = version(ctx, binary); err != nil {
		return r, err
	}
	start := time.Now()
	for _, args := range runs {
		if err := r.test(ctx, binary, args); err != nil {
			return r, err
		}
	}
	r.took = time.Since(start)
	return r, nil
}

func (r *result) test(ctx context.Context, binary string, args []string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-vet=off", "-count", "1"}, args...)...)
	cmd.Env = append(os.Environ(), "BATON_REDIS_SERVER="+binary, "BATON_REQUIRE_REDIS=1")
	if strings.HasPrefix(args[len(args)-1], "./internal/matrix") {
		cmd.Env = append(cmd.Env, redistest.TimedEnv+"=1")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	passed, failed := r.passed, len(r.failed)
	out, err := cmd.Output()
	r.read(out)
	if err != nil && len(r.failed) == failed || err == nil && r.passed == passed {
		return fmt.Errorf("go test ran nothing: %v: %s%s", err, r.output, stderr.Bytes())
	}
	return ctx.Err()
}

// read adds the events of go test -json. It counts tests, not subtests.
func (r *result) read(events []byte) {
	texts := map[string]string{} // output by test or package
	for line := range bytes.Lines(events) {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		test, _, isSubtest := strings.Cut(e.Test, "/")
		name := e.Package[strings.LastIndex(e.Package, "/")+1:] + "." + test
		switch {
		case e.Action == "output" || e.Action == "build-output":
			texts[name] += e.Output
		case isSubtest:
		case e.Action == "fail" && (test != "" || !slices.ContainsFunc(r.failed, func(f string) bool { return strings.HasPrefix(f, name) })):
			r.failed = append(r.failed, name) // a package fails without a test after a panic or a leak
			r.output += texts[name]
		case test == "":
		case e.Action == "pass":
			r.passed++
		case e.Action == "skip":
			r.skipped++
		}
	}
}
