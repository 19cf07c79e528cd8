package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"sync"
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

// build builds the test binaries of all packages in dir.
func build(ctx context.Context, dir string, jobs []job) error {
	args := []string{"test", "-c", "-o", dir}
	for _, j := range jobs {
		args = append(args, "./"+j.pkg)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return nil
}

// test runs the test binaries with the server. An error means that they did not run.
func test(ctx context.Context, binary, dir string, jobs []job) (r result, err error) {
	if r.version, err = version(ctx, binary); err != nil {
		return r, err
	}
	start := time.Now()
	var running sync.WaitGroup
	var mu sync.Mutex
	for _, j := range jobs {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, path.Base(j.pkg)+".test"), "-test.v", "-test.timeout=10m")
		if j.flag != "" {
			cmd.Args = append(cmd.Args, j.flag)
		}
		cmd.Dir = j.pkg
		cmd.Env = append(os.Environ(), "BATON_REDIS_SERVER="+binary, "BATON_REQUIRE_REDIS=1")
		if j.pkg == timed {
			cmd.Env = append(cmd.Env, redistest.TimedEnv+"=1")
			running.Wait()
		}
		running.Go(func() {
			out, err := cmd.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			r.add(path.Base(j.pkg), string(out), err)
		})
	}
	running.Wait()
	r.took = time.Since(start)
	return r, ctx.Err()
}

var ended = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+)`) // not of subtests, which are indented

// add adds the output of a package, and the error of its process.
func (r *result) add(pkg, output string, err error) {
	passed, failed := r.passed, len(r.failed)
	for _, m := range ended.FindAllStringSubmatch(output, -1) {
		switch m[1] {
		case "PASS":
			r.passed++
		case "SKIP":
			r.skipped++
		case "FAIL":
			r.failed = append(r.failed, pkg+"."+m[2])
		}
	}
	if len(r.failed) == failed && (err != nil || r.passed == passed) { // a panic, a leak, or no test
		r.failed = append(r.failed, pkg+".")
	}
	if len(r.failed) > failed {
		r.output += fmt.Sprintf("%s\n%s: %v\n", output, pkg, err)
	}
}
