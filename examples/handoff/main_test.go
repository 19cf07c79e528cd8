package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
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

var holds = regexp.MustCompile(`worker \d+ +holds +fence (\d+) `)

// fences returns the fences of the holds in the output of a process, which must increase.
func fences(t *testing.T, output string) (all []int64) {
	t.Helper()
	for _, m := range holds.FindAllStringSubmatch(output, -1) {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	if !slices.IsSorted(all) {
		t.Errorf("the fences are %d", all)
	}
	return all
}

// runUntil runs the program, for longer each time, until its output is enough.
func runUntil(t *testing.T, c config, enough func(output string) bool) string {
	t.Helper()
	for ; c.length < redistest.Patience; c.length *= 4 {
		var out bytes.Buffer
		if err := run(t.Context(), c, &out); err != nil {
			t.Fatal(err)
		}
		if enough(out.String()) {
			return out.String()
		}
	}
	t.Fatal("the output is not enough")
	return ""
}

func brief() config {
	return config{key: "demo", ttl: 2 * time.Second, workers: 4, hold: 5 * time.Millisecond, length: 500 * time.Millisecond}
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	out := runUntil(t, brief(), func(out string) bool { return len(fences(t, out)) >= 10 })
	for _, want := range []string{
		fmt.Sprint(len(fences(t, out)), " holds in "), " handed over by worker ", " hand-overs, ", "the lock is free now", summaryLine,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	c := brief()
	c.live, c.workers = true, maxRows+1
	var last string
	out := runUntil(t, c, func(out string) bool {
		before, _, _ := strings.Cut(out, showCursor)
		frames := strings.Split(before, "\x1b["+strconv.Itoa(4+c.workers+1+maxRecent)+"A")
		last = frames[len(frames)-1]
		return len(frames) >= 3
	})
	_, after, _ := strings.Cut(out, showCursor)
	if !strings.HasPrefix(out, hideCursor) || !strings.Contains(after, summaryLine) || !strings.Contains(last, "and 1 more") || !strings.Contains(last, "handed over by") {
		t.Errorf("%q", out)
	}
}

// until returns the output up to a line that contains text.
func until(t *testing.T, w *redistest.Worker, text string) (output string) {
	t.Helper()
	for line := range w.Lines() {
		output += line + "\n"
		if strings.Contains(line, text) {
			return output
		}
	}
	t.Fatalf("process %d ended without %q:\n%s", w.Pid(), text, output)
	return ""
}

func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := redistest.Spawn(t, "handoff", "REDIS_URL="+s.URL(), "ARGS=-for 0 -hold 2ms -workers 2")
	b := redistest.Spawn(t, "handoff", "REDIS_URL="+s.URL(), "ARGS=-for 0 -hold 2ms -workers 3")
	var outputs [2]string
	for range 10 {
		outputs[0] += until(t, a, fmt.Sprintf(" of process %d in ", b.Pid()))
		outputs[1] += until(t, b, fmt.Sprintf(" of process %d in ", a.Pid()))
	}
	var all []int64
	for i, w := range []*redistest.Worker{a, b} {
		self, err := os.FindProcess(w.Pid())
		if err == nil {
			err = self.Signal(os.Interrupt)
		}
		outputs[i] += until(t, w, summaryLine) // across processes too
		if err = errors.Join(err, w.Wait()); err != nil {
			t.Errorf("process %d: %v", w.Pid(), err)
		}
		all = append(all, fences(t, outputs[i])...)
	}
	slices.Sort(all)
	if n := len(all); len(slices.Compact(all)) != n {
		t.Error("a fence was granted twice")
	}
	if n := s.Client(t).Exists(t.Context(), "handoff-demo").Val(); n != 0 {
		t.Error("the key of the lock remains")
	}
}

// TestFails: a permanent error ends the program, and so do wrong flags.
func TestFails(t *testing.T) {
	c := brief()
	c.key = "baton:{demo}"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), c.key) {
		t.Error(err)
	}
	c = brief()
	c.url = "http://nonsense"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Error(err)
	}
	for _, args := range []string{"-workers 0", "-hold 0s", "-for -1s", "-key=", "-ttl 1ms", "-nonsense", "nonsense"} {
		var usage bytes.Buffer
		if _, err := parse(strings.Fields(args), &usage); err == nil || usage.Len() == 0 {
			t.Errorf("%s: %v, %q", args, err, usage.String())
		}
	}
	if c, err := parse([]string{"-live"}, io.Discard); err != nil || !c.live {
		t.Errorf("-live: %v, %v", c.live, err)
	}
	var exit *exec.ExitError
	if err := redistest.Spawn(t, "handoff", "ARGS=-workers 0").Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Error(err)
	}
	if err := redistest.Spawn(t, "handoff", "ARGS=-help").Wait(); err != nil {
		t.Error(err)
	}
}
