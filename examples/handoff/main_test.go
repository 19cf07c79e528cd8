package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Main(m, map[string]func(){"handoff": func() {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("ARGS"))...)
		main()
	}})
}

const summaryLine = "no two workers held the lock at once, and the fences only grew"

// TestEmbedded runs the program on its embedded server, for longer each time until it shows ten
// hand-overs: with a line for each event, and with a screen that is redrawn.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	c := config{key: "demo", ttl: 2 * time.Second, workers: maxRows + 1, hold: 5 * time.Millisecond, length: 500 * time.Millisecond}
	for _, want := range [][]string{
		{"holds    fence ", " hand-overs, ", "the lock is free now", summaryLine},
		{hideCursor, "and 1 more", fmt.Sprintf("\x1b[%dA", 4+maxRows+2+maxRecent), showCursor, "the lock is free now", summaryLine},
	} {
		out := ""
		for ; strings.Count(out, "handed over by worker ") < 10; c.length *= 4 {
			var text bytes.Buffer
			if err := run(t.Context(), c, &text); err != nil || c.length > redistest.Patience {
				t.Fatalf("%v, and too few hand-overs:\n%s", err, out)
			}
			out = text.String()
		}
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("the output lacks %q:\n%s", part, out)
			}
		}
		c.live = true
	}
}

// TestPermanentErrorEndsTheProgram uses a key that no lock can have.
func TestPermanentErrorEndsTheProgram(t *testing.T) {
	c := config{key: "baton:{demo}", ttl: 2 * time.Second, workers: 2, hold: time.Millisecond}
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), c.key) {
		t.Error(err)
	}
}

// until reads the output up to a line that contains text.
func until(t *testing.T, w *redistest.Worker, text string) {
	t.Helper()
	output := ""
	for line := range w.Lines() {
		output += line + "\n"
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("process %d ended without %q:\n%s", w.Pid(), text, output)
}

// TestProcessesTakeTurns: two processes hand the lock to each other. Ctrl-C ends them.
func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := redistest.Spawn(t, "handoff", "REDIS_URL="+s.URL(), "ARGS=-for 0 -hold 2ms -workers 2")
	b := redistest.Spawn(t, "handoff", "REDIS_URL="+s.URL(), "ARGS=-for 0 -hold 2ms -workers 3")
	for range 10 {
		until(t, a, fmt.Sprintf(" of process %d in ", b.Pid()))
		until(t, b, fmt.Sprintf(" of process %d in ", a.Pid()))
	}
	for _, w := range []*redistest.Worker{a, b} {
		self, err := os.FindProcess(w.Pid())
		if err == nil {
			err = self.Signal(os.Interrupt)
		}
		until(t, w, summaryLine) // across processes too
		if err = errors.Join(err, w.Wait()); err != nil {
			t.Errorf("process %d: %v", w.Pid(), err)
		}
	}
	if n := s.Client(t).Exists(t.Context(), "handoff-demo").Val(); n != 0 {
		t.Error("the key of the lock remains")
	}
}
