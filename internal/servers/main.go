// Command servers runs the tests that need a Redis server on several servers, and writes the
// results into the table of internal/docs/redis.md.
//
//	go run ./internal/servers [-run regexp] [-write] [package...]
//	go run ./internal/servers -quick -run 'Redis 8.0.6|Valkey 9'
//
// The command downloads the servers from Debian's suites, and unpacks their packages and
// libraries into a cache directory. It installs nothing. It uses the package mirror and the key
// of apt's configuration, and runs each server with the dynamic linker of its suite. It needs
// apt-get, curl, dpkg and an amd64 machine. -quick runs only the tests of the scripts and of the
// kinds of clients, and skips a server that cannot be downloaded.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A server is a package of a Debian suite.
type server struct{ name, suite, pkg, binary string }

// servers has the servers in the order of the tests. A suite gets updates, so the table shows the
// version that the binary reports.
var servers = []server{
	{"Redis 6.0.16", "bullseye", "redis-server", "redis-server"},
	{"Redis 7.0.15", "bookworm", "redis-server", "redis-server"},
	{"Redis 8.0.2", "trixie", "redis-server", "redis-server"},
	{"Redis 8.0.6", "sid", "redis-server", "redis-server"},
	{"Valkey 8.1.1", "trixie", "valkey-server", "valkey-server"},
	{"Valkey 9.1.2", "sid", "valkey-server", "valkey-server"},
}

// whole runs the packages whose tests start servers, and the tests of internal/matrix with a cluster
// or sentinels.
var whole = [][]string{
	{"-p", "4", "./mutex", "./semaphore", "./waitgroup", "./internal/redisstore", "./internal/clienttest", "./internal/docs"},
	{"-p", "1", "-run", "Cluster|Sentinels", "./internal/matrix/..."},
}

// quick runs every script, and every primitive with each kind of client, including cluster and
// sentinels. It skips the long tests, most of which explore states.
var quick = [][]string{
	{"-p", "4", "-skip", "ServersAgree|Bounded|RepeatedOrLate|NoScriptLeaves|SiblingOfAnotherType|InSteps|Model|Odd|Records|StaleEntriesAhead|Grow",
		"./internal/redisstore", "./internal/clienttest"},
	{"-run", "TestCheck", "./mutex"},
}

func main() {
	names := flag.String("run", "", "a regular expression that selects `servers`")
	small := flag.Bool("quick", false, "run only the tests of scripts and clients, and skip a server that cannot be downloaded")
	write := flag.Bool("write", false, "write the results into the table of "+page)
	cache := flag.String("cache", defaultCache(), "the `directory` to unpack servers into")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *names, *cache, *small, *write, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		stop()
		os.Exit(1)
	}
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "baton-servers")
}

func run(ctx context.Context, names, cache string, small, write bool, pkgs []string) error {
	chosen, err := regexp.Compile(names)
	if err != nil {
		return err
	}
	runs := whole
	switch {
	case len(pkgs) > 0:
		runs = [][]string{pkgs}
	case small:
		runs = quick
	}
	tested, failed := 0, false
	for _, s := range servers {
		if !chosen.MatchString(s.name) {
			continue
		}
		binary, err := s.unpack(ctx, cache)
		if err != nil && small && ctx.Err() == nil {
			fmt.Printf("not tested on %s: %v\n", s.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		r, err := test(ctx, binary, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("%s: %d tests passed, %d failed, %d skipped, %v\n", r.version, r.passed, len(r.failed), r.skipped, r.took.Round(time.Second))
		if len(r.failed) > 0 {
			failed = true
			fmt.Printf("%s\nfailed: %s\n", r.output, strings.Join(r.failed, " "))
		}
		tested++
		if write { // after each server, because all servers take minutes
			if err := writeTable(r, time.Now()); err != nil {
				return err
			}
		}
	}
	if tested == 0 && !small {
		return fmt.Errorf("no server matches %q", names)
	}
	if failed {
		return fmt.Errorf("tests failed")
	}
	return nil
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
