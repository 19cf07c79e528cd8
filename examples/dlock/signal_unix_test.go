//go:build unix

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestSignals(t *testing.T) {
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
		if err := syscall.Kill(w.Pid(), sig); err != nil {
			t.Fatal(err)
		}
		if out := remainingOutput(w); out != "" {
			t.Errorf("%v: the command continued: %q", sig, out)
		}
		expectExit(t, w, c.status)
	}
}

// TestSignalHolding: a signal ends the time of -hold-at-least.
func TestSignalHolding(t *testing.T) {
	s := redistest.Start(t)
	w := dlock(t, s, "-hold-at-least", "1h", "name", "--", "echo", "out")
	expectLine(t, w, "out")
	m := mutex.New(s.Client(t), "name")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := m.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the lock is not held: %v", err)
	}
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectExit(t, w, 0)
	if mutexStatus(t, m).Held() {
		t.Error("the lock is still held")
	}
}

// TestSignalWaiting: a dlock that is ended while it waits leaves no queue entry.
func TestSignalWaiting(t *testing.T) {
	s := redistest.Start(t)
	m := mutex.New(s.Client(t), "name")
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := dlock(t, s, "name", "--", "echo", "in")
	redistest.Eventually(t, 5*time.Second, func() bool { return mutexStatus(t, m).Waiters == 1 }, "dlock waits")
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectExit(t, w, 143)
	if out := remainingOutput(w); out != "" || mutexStatus(t, m).Waiters != 0 {
		t.Errorf("dlock printed %q, and the lock has %d waiters", out, mutexStatus(t, m).Waiters)
	}
	_ = l.Unlock()
}

// TestSignalConnecting: a signal ends dlock while the server does not reply to its first request.
func TestSignalConnecting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := redistest.Spawn(t, "dlock", "REDIS_URL=redis://"+l.Addr().String(), "ARGS=name\n--\n"+os.Args[0])
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectExit(t, w, 143)
	redistest.CheckDuration(t, "the end of dlock", start, 0, time.Second)
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
