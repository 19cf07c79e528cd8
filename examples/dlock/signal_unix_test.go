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
		// All of the group has it. It is the inner shell that says when: one that is about to start
		// another process holds its signals back, and what it then starts does not get them.
		syscall.SIGTERM: {"sh -c 'echo in; exec sleep 3600'; echo out", 143},
		syscall.SIGHUP:  {"echo in; exec sleep 3600", 129},
	} {
		// What the tests ignore, as under nohup, dlock would leave alone; not what they catch.
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, sig)
		w := dlock(t, s, "name", "--", "sh", "-c", c.script)
		signal.Stop(caught)
		says(t, w, "in")
		if err := syscall.Kill(w.Pid(), sig); err != nil {
			t.Fatal(err)
		}
		if out := rest(w); out != "" {
			t.Errorf("%v: it goes on: %q", sig, out)
		}
		exits(t, w, c.status)
	}
}

// A signal ends the time for which the lock is kept after the command has ended.
func TestSignalHolding(t *testing.T) {
	s := redistest.Start(t)
	w := dlock(t, s, "-hold-at-least", "1h", "name", "--", "echo", "out")
	says(t, w, "out")
	m := mutex.New(s.Client(t), "name")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := m.LockContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it does not hold: %v", err)
	}
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, w, 0)
	if see(t, m).Held() {
		t.Error("it still holds")
	}
}

// Who is stopped while it waits leaves nothing behind.
func TestSignalWaiting(t *testing.T) {
	s := redistest.Start(t)
	m := mutex.New(s.Client(t), "name")
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := dlock(t, s, "name", "--", "echo", "in")
	redistest.Eventually(t, 5*time.Second, func() bool { return see(t, m).Waiters == 1 }, "it does not wait")
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, w, 143)
	if out := rest(w); out != "" || see(t, m).Waiters != 0 {
		t.Errorf("it says %q, and %d wait", out, see(t, m).Waiters)
	}
	_ = l.Unlock()
}

// A signal ends dlock also while the server does not answer its first question.
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
	exits(t, w, 143)
	redistest.CheckDuration(t, "the end", start, 0, time.Second)
}

// A signal that comes as the lock is had, and has been taken for the end of the wait, is not
// forgotten.
func TestSignalAtTheGrant(t *testing.T) {
	signals := make(chan os.Signal, 2)
	released := false
	h, err := heed(signals, func(ctx context.Context) (*hold, error) {
		signals <- syscall.SIGUSR1 // for nobody yet
		signals <- syscall.SIGTERM
		<-ctx.Done()
		return &hold{release: func() error { released = true; return nil }}, nil
	})
	var f *failure
	if h != nil || !errors.As(err, &f) || f.status != 143 || !released {
		t.Errorf("it goes on: %v, %v, released %v", h, err, released)
	}
}

// A signal ends dlock also while Redis does not say that the lock is free.
func TestSignalReleasing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 1)
		signals <- syscall.SIGTERM
		answer := make(chan error)
		start := time.Now()
		if status := release(&hold{release: func() error { return <-answer }}, 3, signals); status != 3 {
			t.Errorf("the status is %d", status)
		}
		if took := time.Since(start); took == 0 || took > time.Second {
			t.Errorf("it took %v", took)
		}
		answer <- nil
	})
}
