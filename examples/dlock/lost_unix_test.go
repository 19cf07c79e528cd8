//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// ignoresTERM is a command that prints its pid, and "TERM" when it gets SIGTERM. It does not end.
var ignoresTERM = []string{"sh", "-c", `exec 2>/dev/null; trap "echo TERM" TERM; echo $$; while :; do sleep 0.02; done`}

// TestLostRedis: without Redis, the command gets SIGTERM, and is killed before another process could
// get the lock, even if dlock's stderr is a full pipe.
func TestLostRedis(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	redistest.Eventually(t, redistest.Patience, func() bool { // on a busy machine it is killed before it prints "TERM"
		s := redistest.Start(t)
		stdout, out := pipe(t)
		stderr, full := pipe(t)
		err := full.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for err == nil {
			_, err = full.Write(make([]byte, 4096)) // a write of one page is atomic
		}
		cmd := command(t, s, append([]string{"-ttl", ttl.String(), "name", "--"}, ignoresTERM...)...)
		cmd.Stdout, cmd.Stderr = out, full
		w, err := redistest.StartChild(cmd)
		check(t, err)
		defer w.Kill()
		out.Close()
		full.Close()
		lines := bufio.NewReader(stdout)
		line, _ := lines.ReadString('\n')
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		check(t, err)
		start := time.Now()
		s.Kill()
		awaitEnd(t, pid)
		redistest.CheckDuration(t, "the end of the command", start, ttl, 100*time.Millisecond)
		go io.Copy(io.Discard, stderr)
		expectExit(t, w, exitLost)
		rest, _ := io.ReadAll(lines)
		return strings.Contains(string(rest), "TERM")
	}, "the command gets SIGTERM")
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// TestStopped: a dlock that was stopped for longer than the TTL kills the command when it continues.
func TestStopped(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var w *redistest.Worker
	redistest.Eventually(t, redistest.Patience, func() bool { // a machine that stands still loses the lock sooner
		w = dlock(t, s, append([]string{"-ttl", "500ms", "name", "--"}, ignoresTERM...)...)
		return <-w.Lines() != ""
	}, "the command runs")
	w.Pause()
	l := lock(t, s, "name")
	w.Continue()
	remainingOutput(w)
	expectExit(t, w, exitLost)
	check(t, l.Unlock())
}
