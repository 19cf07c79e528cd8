package main

import (
	"context"
	"slices"
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
	expectOutput(t, s, "ls", "once", "a{b}c", "hourly", "often", "flight", "price:tea")
	expectOutput(t, s, "ls hour*", "hourly", "succeeded")
	expectOutput(t, s, "ls a*", "a{b}c")
	expectOutput(t, s, "ls price:*", "a value for ")
	expectOutput(t, s, "inspect often", "once", "failed: exit status 1", ": false (")
	expectOutput(t, s, "inspect price:tea", "flight")
}

// TestOnceWaits: a second dlock waits for the first, and does not run the command if the first has
// succeeded. If the first is killed, the second runs the command.
func TestOnceWaits(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, name := range []string{"succeeds", "killed"} {
		args := slices.Concat([]string{"-once", name, "--"}, untilInput)
		first := dlock(t, s, args...)
		expectLine(t, first, "in")
		expectExit(t, dlock(t, s, "-once", "-w", "0", name, "--", "true"), exitNotAcquired)
		second := dlock(t, s, args...)
		awaitWaiter(t, s, name)
		want := ""
		if name == "killed" {
			first.Kill()
			s.Do(t, "DEL", name) // as the end of its TTL does
			want = "in\nout\n"
		}
		first.CloseInput()
		second.CloseInput()
		if out := remainingOutput(second); out != want {
			t.Errorf("%s: the second dlock printed %q", name, out)
		}
		expectExit(t, second, 0)
	}
}
