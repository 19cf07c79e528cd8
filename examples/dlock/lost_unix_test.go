//go:build unix

package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// ignoresTERM is a command that prints "TERM" when it gets SIGTERM, and does not end.
var ignoresTERM = []string{"sh", "-c", `trap "echo TERM" TERM; echo in; while :; do sleep 0.02; done`}

// TestLostRedis: without Redis, the command gets SIGTERM, and is killed before another process could
// get the lock.
func TestLostRedis(t *testing.T) {
	const ttl = 1500 * time.Millisecond
	redistest.Eventually(t, redistest.Patience, func() bool { // on a busy machine it is killed before it prints "TERM"
		s := redistest.Start(t)
		w := dlock(t, s, append([]string{"-ttl", ttl.String(), "name", "--"}, ignoresTERM...)...)
		expectLine(t, w, "in")
		start := time.Now()
		s.Kill()
		out := remainingOutput(w)
		redistest.CheckDuration(t, "the end of the command", start, ttl, 100*time.Millisecond)
		expectExit(t, w, exitLost)
		return strings.Contains(out, "TERM")
	}, "the command gets SIGTERM")
}

// TestStopped: a dlock that was stopped for longer than the TTL kills the command when it continues.
func TestStopped(t *testing.T) {
	s := redistest.Start(t)
	var w *redistest.Worker
	redistest.Eventually(t, redistest.Patience, func() bool { // a machine that stands still loses the lock sooner
		w = dlock(t, s, append([]string{"-ttl", "500ms", "name", "--"}, ignoresTERM...)...)
		return <-w.Lines() == "in"
	}, "the command runs")
	w.Pause()
	l, err := mutex.New(s.Client(t), "name").LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Continue()
	remainingOutput(w)
	expectExit(t, w, exitLost)
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// TestKilled: the command does not outlive a dlock that is killed.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux signals the death of a parent")
	}
	s := redistest.Start(t)
	w := dlock(t, s, "name", "--", "sh", "-c", "echo in; exec sleep 3600")
	expectLine(t, w, "in")
	w.Kill()
	remainingOutput(w) // returns when the command has ended too, because it has the same pipe
}

// TestLostUnread: the command is killed in time even if dlock's stderr is a full pipe.
func TestLostUnread(t *testing.T) {
	s := redistest.Start(t)
	const ttl = time.Second
	read, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer full.Close()
	if err := full.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = full.Write(make([]byte, 4096)) // a write of one page is atomic
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := command(t, s, "-ttl", ttl.String(), "name", "--", "sh", "-c", "echo $$; exec sleep 3600 2>/dev/null")
	cmd.Stdout, cmd.Stderr = in, full
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line := make([]byte, 20)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.Kill()
	redistest.Eventually(t, 5*time.Second, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, "the command ends")
	redistest.CheckDuration(t, "the end of the command", start, ttl, 100*time.Millisecond)
}
