//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestSignals(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for sig, c := range map[syscall.Signal]struct {
		script string
		status int
	}{
		syscall.SIGINT:  {"trap 'exit 7' INT; echo in; while :; do sleep 0.02; done", 7},
		syscall.SIGUSR1: {"trap 'exit 8' USR1; echo in; while :; do sleep 0.02; done", 8},
		// The signal goes to the whole group. The inner shell prints "in", because a shell that is about
		// to start a process blocks signals, and the new process does not get them.
		syscall.SIGTERM: {"sh -c 'echo in; exec sleep 3600'; echo out", 143},
		syscall.SIGHUP:  {"echo in; exec sleep 3600", 129},
	} {
		// dlock keeps ignoring a signal that the test process ignores, as under nohup. A caught signal is reset.
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, sig)
		w := dlock(t, s, "name", "--", "sh", "-c", c.script)
		signal.Stop(caught)
		expectLine(t, w, "in")
		send(t, w, sig)
		if out := remainingOutput(w); out != "" {
			t.Errorf("%v: the command continued: %q", sig, out)
		}
		expectExit(t, w, c.status)
	}
}

func send(t *testing.T, w *redistest.Worker, sig syscall.Signal) {
	t.Helper()
	check(t, syscall.Kill(w.Pid(), sig))
}

// TestHoldAtLeast: the lock is held after the command has ended. A signal ends this time.
func TestHoldAtLeast(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	start := time.Now()
	w := dlock(t, s, "-hold-at-least", "300ms", "name", "--", "echo", "out")
	expectLine(t, w, "out")
	_ = lock(t, s, "name").Unlock()
	if held := time.Since(start); held < 300*time.Millisecond {
		t.Errorf("the lock was released after %v", held)
	}
	expectExit(t, w, 0)

	w = dlock(t, s, "-hold-at-least", "1h", "name", "--", "sh", "-c", "echo $$")
	pid, err := strconv.Atoi(<-w.Lines())
	check(t, err)
	awaitEnd(t, pid)
	if !mutexStatus(t, s, "name").Held() {
		t.Error("the lock is not held")
	}
	ended := make(chan error)
	go func() { ended <- w.Wait() }()
	for err = errors.New("it runs"); err != nil; { // the first signals may arrive before dlock knows that the command has ended
		_ = syscall.Kill(w.Pid(), syscall.SIGTERM)
		select {
		case err = <-ended:
			if err != nil {
				t.Fatalf("dlock ended with %v", err)
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
	if mutexStatus(t, s, "name").Held() {
		t.Error("the lock is still held")
	}
}

// awaitEnd waits for the end of a process.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }, "process %d ends", pid)
}

// TestSignalWaiting: a dlock that is ended while it waits leaves no queue entry.
func TestSignalWaiting(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	defer lock(t, s, "name").Unlock()
	w := dlock(t, s, "name", "--", "echo", "in")
	awaitWaiter(t, s, "name")
	send(t, w, syscall.SIGTERM)
	expectExit(t, w, 143)
	if out, n := remainingOutput(w), mutexStatus(t, s, "name").Waiters; out != "" || n != 0 {
		t.Errorf("dlock printed %q, and the lock has %d waiters", out, n)
	}
}

// TestSignalConnecting: a signal ends dlock while the server does not reply to its first request.
func TestSignalConnecting(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	w := redistest.Spawn(t, "dlock", "REDIS_URL=redis://"+l.Addr().String(), "ARGS=name\n--\n"+os.Args[0])
	conn, err := l.Accept()
	check(t, err)
	defer conn.Close()
	send(t, w, syscall.SIGTERM)
	expectExit(t, w, 143)
}

// TestSignalAtTheGrant: a signal that arrives at the same time as the lock ends dlock.
func TestSignalAtTheGrant(t *testing.T) {
	signals := make(chan os.Signal, 2)
	released := false
	h, err := cancelOnSignal(signals, func(ctx context.Context) (*hold, error) {
		signals <- syscall.SIGUSR1 // ignored before the command starts
		signals <- syscall.SIGTERM
		<-ctx.Done()
		return &hold{release: func() error { released = true; return nil }}, nil
	})
	var f *failure
	if h != nil || !errors.As(err, &f) || f.status != 143 || !released {
		t.Errorf("dlock continued: %v, %v, released %v", h, err, released)
	}
}

// TestSignalReleasing: a signal ends dlock while Redis does not reply to the release.
func TestSignalReleasing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		answer := make(chan error)
		start := time.Now()
		if status := release(&hold{release: func() error { return <-answer }}, 3, signals); status != 3 {
			t.Errorf("the exit status is %d", status)
		}
		if took := time.Since(start); took == 0 || took > time.Second {
			t.Errorf("the release took %v", took)
		}
		answer <- nil
	})
}
