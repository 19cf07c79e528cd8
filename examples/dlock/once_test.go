package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestOnce: a command that fails runs again, and a command that has succeeded does not. A command
// that cannot be executed leaves the Once undone.
func TestOnce(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("REDIS_URL", s.URL())
	for _, step := range []struct {
		args   string
		status int
	}{
		{"-once a{b}c -- false", 1}, {"-once a{b}c -- no-such-command", 127}, {"-once a{b}c -- /", 126},
		{"-once a{b}c -- true", 0}, {"-once a{b}c -- false", 0}, {"-once -w 0 a{b}c -- false", 0},
		{"-once -every 1h hourly -- true", 0}, {"-once -every 1h hourly -- false", 0},
		{"-once -every 1ms often -- true", 0}, {"-once -every 1ms often -- false", 1},
	} {
		if status := run(strings.Fields(step.args)); status != step.status {
			t.Errorf("dlock %s: exit status %d, want %d", step.args, status, step.status)
		}
	}
	fl := mutex.NewFlight(s.Client(t), "price:")
	fl.Keep = 1000 * time.Hour
	if _, _, err := fl.Do(t.Context(), "tea", func(context.Context) ([]byte, error) { return []byte("4"), nil }); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"ls": "once|a{b}c|hourly|often|flight|price:tea", "ls hour*": "hourly|succeeded", "ls a*": "a{b}c", "ls price:*": "a value for |h",
		"inspect often": "once|failed: exit status 1|: false (", "inspect price:tea": "flight",
	} {
		out := remainingOutput(dlock(t, s, strings.Fields(args)...))
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(out, part) {
				t.Errorf("dlock %s did not print %q: %s", args, part, out)
			}
		}
	}
}

// TestOnceWaits: a second dlock waits for the first, and does not run the command if the first has
// succeeded. If the first is killed, the second runs the command.
func TestOnceWaits(t *testing.T) {
	s := redistest.Start(t)
	for _, killed := range []bool{false, true} {
		name := map[bool]string{false: "succeeds", true: "killed"}[killed]
		args := append([]string{"-once", name, "--"}, untilInput...)
		first := dlock(t, s, args...)
		expectLine(t, first, "in")
		t.Setenv("REDIS_URL", s.URL())
		if status := run([]string{"-once", "-w", "0", name, "--", "true"}); status != exitNotAcquired {
			t.Errorf("-w 0: exit status %d", status)
		}
		second := dlock(t, s, args...)
		m := mutex.New(s.Client(t), name)
		redistest.Eventually(t, redistest.Patience, func() bool { return mutexStatus(t, m).Waiters == 1 }, "the second dlock waits")
		if killed {
			first.Kill()
			s.Do(t, "DEL", name) // as the end of its TTL does
			expectLine(t, second, "in")
			second.CloseInput()
			expectLine(t, second, "out")
		} else {
			first.CloseInput()
			expectLine(t, first, "out")
			expectExit(t, first, 0)
			if out := remainingOutput(second); out != "" {
				t.Errorf("the second dlock ran the command: %s", out)
			}
		}
		expectExit(t, second, 0)
	}
}
