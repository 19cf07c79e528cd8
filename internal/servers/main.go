// Command servers runs the tests that need a Redis server on several servers, and writes the
// results into the table of internal/docs/redis.md.
//
//	go run ./internal/servers [-run regexp] [-write]
//	go run ./internal/servers -quick -run 'Redis 8.0.6|Valkey 9'
//
// The command downloads the servers from Debian's suites, and unpacks their packages and
// libraries into a cache directory. It installs nothing. It uses the package mirror and the key
// of apt's configuration, and runs each server with the dynamic linker of its suite. It needs
// apt-get, curl, dpkg and an amd64 machine. -quick runs only the tests of the scripts and of the
// kinds of clients, on all servers at a time, and skips a server that cannot be downloaded.
package main

import (
	"bytes"
	"context"
	_ "embed" // of the script
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A server is a package of a Debian suite.
type server struct{ name, suite, pkg string }

// servers has the servers in the order of the tests. A suite gets updates, so the table shows the
// version that the binary reports.
var servers = []server{
	{"Redis 6.0.16", "bullseye", "redis-server"},
	{"Redis 7.0.15", "bookworm", "redis-server"},
	{"Redis 8.0.2", "trixie", "redis-server"},
	{"Redis 8.0.6", "sid", "redis-server"},
	{"Valkey 8.1.1", "trixie", "valkey-server"},
	{"Valkey 9.1.2", "sid", "valkey-server"},
}

// A job is a package whose tests run on a server.
type job struct{ pkg, flag string }

// whole has the packages whose tests start servers, and at last the tests of internal/matrix with a
// cluster or sentinels.
var whole = []job{
	{pkg: "mutex"}, {pkg: "semaphore"}, {pkg: "waitgroup"}, {pkg: "internal/redisstore"}, {pkg: "internal/clienttest"}, {pkg: "internal/docs"},
	{timed, "-test.run=Cluster|Sentinels"},
}

// timed is a package whose tests measure times. It runs alone.
const timed = "internal/matrix/faults"

// quick has every script, and every primitive with each kind of client, including cluster and
// sentinels. It skips the long tests, most of which explore states.
var quick = []job{
	{"internal/redisstore", "-test.skip=ServersAgree|Bounded|RepeatedOrLate|NoScriptLeaves|SiblingOfAnotherType|InSteps|Model|Odd|Records|StaleEntriesAhead|Grow"},
	{pkg: "internal/clienttest"},
	{"mutex", "-test.run=TestCheck"},
}

func main() {
	names := flag.String("run", "", "a regular expression that selects `servers`")
	small := flag.Bool("quick", false, "run only the tests of scripts and clients, and skip a server that cannot be downloaded")
	write := flag.Bool("write", false, "write the results into the table of "+page)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *names, *small, *write); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, names string, small, write bool) error {
	selected, err := regexp.Compile(names)
	if err != nil {
		return err
	}
	jobs := whole
	if small {
		jobs = quick
	}
	dir, err := os.MkdirTemp("", "servers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir, jobs); err != nil {
		return err
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, s := range servers {
		if !selected.MatchString(s.name) {
			continue
		}
		binary, err := s.unpack(ctx)
		if err != nil && small && ctx.Err() == nil {
			fmt.Printf("not tested on %s: %v\n", s.name, err)
			continue
		}
		running.Go(func() {
			if err == nil {
				err = testOn(ctx, binary, dir, jobs, write)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			}
		})
		if !small { // whole needs the machine, and takes minutes
			running.Wait()
		}
	}
	running.Wait()
	return failed
}

// testOn runs the tests on a server, and prints the result.
func testOn(ctx context.Context, binary, dir string, jobs []job, write bool) error {
	r, err := test(ctx, binary, dir, jobs)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d tests passed, %d failed, %d skipped, %v\n", r.version, r.passed, len(r.failed), r.skipped, r.took.Round(time.Second))
	if write {
		err = writeTable(r, time.Now())
	}
	if len(r.failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%s\nfailed: %s", r.output, strings.Join(r.failed, " ")))
	}
	return err
}

var versionPattern = regexp.MustCompile(`(Redis|Valkey) server v=(\S+)`)

// version returns the version that the binary reports.
func version(ctx context.Context, binary string) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("the binary reports no version: %q", out)
	}
	return fmt.Sprintf("%s %s", m[1], m[2]), nil
}

//go:embed unpack.sh
var script string

// unpackTimeout limits the download from a slow mirror.
const unpackTimeout = 90 * time.Second

// unpack returns an executable that runs the server like redis-server. It downloads the server if it is
// not in the user's cache.
func (s server) unpack(ctx context.Context) (binary string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "baton-servers", s.suite)
	binary = filepath.Join(dir, s.pkg)
	if _, err := version(ctx, binary); err == nil {
		return binary, nil
	}
	ctx, cancel := context.WithTimeout(ctx, unpackTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script, "unpack.sh", dir, s.suite, s.pkg)
	cmd.WaitDelay = time.Second // for child processes of bash
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	_, err = version(ctx, binary)
	return binary, err
}
