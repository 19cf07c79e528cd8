package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed unpack.sh
var script string

// unpack returns a file that runs the server as redis-server does. It downloads the server if
// the cache does not have it.
func (s server) unpack(ctx context.Context, cache string) (binary string, err error) {
	binary = filepath.Join(cache, s.suite, s.pkg)
	if _, err := version(ctx, binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(filepath.Join(cache, s.suite), 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script, "unpack.sh", filepath.Join(cache, s.suite), s.suite, s.pkg, s.binary)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	if _, err := version(ctx, binary); err != nil {
		return "", err
	}
	return binary, nil
}
