package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed unpack.sh
var script string

// unpackTimeout limits the download from a slow mirror.
const unpackTimeout = 90 * time.Second

// unpack returns an executable that runs the server like redis-server. It downloads the server if it is
// not in the cache.
func (s server) unpack(ctx context.Context, cache string) (binary string, err error) {
	binary = filepath.Join(cache, s.suite, s.pkg)
	if _, err := version(ctx, binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(filepath.Join(cache, s.suite), 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, unpackTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script, "unpack.sh", filepath.Join(cache, s.suite), s.suite, s.pkg, s.binary)
	cmd.WaitDelay = time.Second // for child processes of bash
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	if _, err := version(ctx, binary); err != nil {
		return "", err
	}
	return binary, nil
}
