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

// stubborn is a command that says when it is asked to end, and does not.
var stubborn = []string{"sh", "-c", `trap "echo asked" TERM; echo in; while :; do sleep 0.02; done`}

// Where Redis is gone, the command is asked to end, and has been killed before another could
// have the lock.
func TestLostRedis(t *testing.T) {
	s := redistest.Start(t)
	const ttl = 1500 * time.Millisecond
	w := dlock(t, s, append([]string{"-ttl", ttl.String(), "name", "--"}, stubborn...)...)
	says(t, w, "in")
	start := time.Now()
	s.Kill()
	if out := rest(w); !strings.Contains(out, "asked") {
		t.Errorf("it was not asked to end: %q", out)
	}
	redistest.CheckDuration(t, "the end of the command", start, ttl, 100*time.Millisecond)
	exits(t, w, exitLost)
}

// A dlock that was stopped past the TTL kills the command when it goes on.
func TestStopped(t *testing.T) {
	s := redistest.Start(t)
	w := dlock(t, s, append([]string{"-ttl", "500ms", "name", "--"}, stubborn...)...)
	says(t, w, "in")
	w.Pause()
	l, err := mutex.New(s.Client(t), "name").LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.Continue()
	rest(w)
	exits(t, w, exitLost)
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// The command does not outlive a dlock that is killed.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's death")
	}
	s := redistest.Start(t)
	w := dlock(t, s, "name", "--", "sh", "-c", "echo in; exec sleep 3600")
	says(t, w, "in")
	w.Kill()
	rest(w) // it ends when the command has: that has the other end
}

// The command is killed in time also if nobody reads what dlock has to say of it.
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
		_, err = full.Write(make([]byte, 4096)) // all of it, or nothing
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
	redistest.Eventually(t, 5*time.Second, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, "the command runs on")
	redistest.CheckDuration(t, "the end of the command", start, ttl, 100*time.Millisecond)
}
