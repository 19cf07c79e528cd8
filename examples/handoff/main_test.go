package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
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

var holds = regexp.MustCompile(`worker \d+ +holds +fence (\d+) +(.*)`)

// fences returns the fences of the holds in the lines.
func fences(t *testing.T, lines ...string) (all []int64) {
	t.Helper()
	for _, line := range lines {
		if m := holds.FindStringSubmatch(line); m != nil {
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
	}
	return all
}

func checkIncreasing(t *testing.T, fences []int64) {
	t.Helper()
	for i := range fences[:max(0, len(fences)-1)] {
		if fences[i] >= fences[i+1] {
			t.Errorf("fence %d precedes %d", fences[i], fences[i+1])
		}
	}
}

func brief() config {
	return config{key: "demo", ttl: 2 * time.Second, workers: 4, hold: 5 * time.Millisecond, length: time.Second}
}

func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	var all []int64
	for c := brief(); len(all) < 10 && c.length < redistest.Patience; c.length *= 4 { // a busy machine may have few in a second
		out.Reset()
		if err := run(t.Context(), c, &out); err != nil {
			t.Fatal(err)
		}
		all = fences(t, strings.Split(out.String(), "\n")...)
	}
	if checkIncreasing(t, all); len(all) < 10 {
		t.Errorf("only %d holds", len(all))
	}
	for _, want := range []string{
		fmt.Sprint(len(all), " holds in "), " handed over by worker ", " hand-overs, ", "the lock is free now", summaryLine,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestLive(t *testing.T) {
	var frames []string
	for c := brief(); len(frames) < 3 && c.length < redistest.Patience; c.length *= 4 { // a busy machine may show few in a second
		var out bytes.Buffer
		c.live, c.workers = true, maxRows+1
		if err := run(t.Context(), c, &out); err != nil {
			t.Fatal(err)
		}
		before, after, ok := strings.Cut(out.String(), showCursor)
		if !strings.HasPrefix(before, hideCursor) || !ok || !strings.Contains(after, summaryLine) {
			t.Errorf("%q", out.String())
		}
		frames = strings.Split(before, "\x1b["+strconv.Itoa(4+c.workers+1+maxRecent)+"A")
	}
	if last := frames[len(frames)-1]; len(frames) < 3 || !strings.Contains(last, "and 1 more") || !strings.Contains(last, "handed over by") {
		t.Errorf("%d frames, the last one:\n%s", len(frames), last)
	}
}

// TestFails: a permanent error ends the program.
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
}

// A process runs the program in another process, and collects its output.
type process struct {
	*redistest.Worker
	lines []string
}

func start(t *testing.T, s *redistest.Server, args string) *process {
	t.Helper()
	return &process{Worker: redistest.Spawn(t, "handoff", "REDIS_URL="+s.URL(), "ARGS="+args)}
}

// until reads lines until a line contains text, and returns that line.
func (p *process) until(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line, more := <-p.Lines():
			if !more {
				t.Fatalf("process %d ended without %q:\n%s", p.Pid(), text, strings.Join(p.lines, "\n"))
			}
			if p.lines = append(p.lines, line); strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			t.Fatalf("process %d did not print %q:\n%s", p.Pid(), text, strings.Join(p.lines, "\n"))
		}
	}
}

// interrupt sends the signal of Ctrl-C, and reads the remaining output.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	self, err := os.FindProcess(p.Pid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.until(t, summaryLine)
	if err := p.Wait(); err != nil {
		t.Errorf("process %d: %v", p.Pid(), err)
	}
}

func TestProcessesTakeTurns(t *testing.T) {
	s := redistest.Start(t)
	a := start(t, s, "-for 0 -hold 2ms -workers 2")
	b := start(t, s, "-for 0 -hold 2ms -workers 3")
	for range 10 {
		a.until(t, fmt.Sprintf(" of process %d in ", b.Pid()))
		b.until(t, fmt.Sprintf(" of process %d in ", a.Pid()))
	}
	a.interrupt(t)
	b.interrupt(t)

	// Fences grow across processes too: otherwise summaryLine would be missing.
	ours, theirs := fences(t, a.lines...), fences(t, b.lines...)
	checkIncreasing(t, ours)
	checkIncreasing(t, theirs)
	seen := map[int64]bool{}
	for _, f := range append(ours, theirs...) {
		if seen[f] {
			t.Errorf("fence %d was granted twice", f)
		}
		seen[f] = true
	}
	if n := s.Client(t).Exists(t.Context(), "handoff-demo").Val(); n != 0 {
		t.Error("the key of the lock remains")
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{
		"-workers 0", "-hold 0s", "-for -1s", "-key=", "-ttl 1ms", "-nonsense", "nonsense",
	} {
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
