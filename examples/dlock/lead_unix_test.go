//go:build unix

package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// leadScript is a command that prints its fence, and "TERM" when it gets SIGTERM.
var leadScript = []string{"sh", "-c", `trap "echo TERM; exit 3" TERM; echo $DLOCK_FENCE; while :; do sleep 0.02; done`}

// TestLead: the command runs while dlock leads. It runs again after a loss, and in the next process
// if dlock is killed.
func TestLead(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	lead := func(value string) *redistest.Worker {
		return dlock(t, s, append([]string{"-lead", "-ttl", "4s", "-value", value, "name", "--"}, leadScript...)...)
	}
	w := lead("one")
	first := <-w.Lines()
	e := mutex.NewElection(rdb, "name")
	if l, err := e.Leader(t.Context()); err != nil || l.Value != "one" || fenceText(l.Number) != first {
		t.Errorf("Leader returned %+v, %v; the command printed %s", l, err, first)
	}
	for _, args := range [][]string{{"ls"}, {"inspect", "name"}} {
		if out := remainingOutput(dlock(t, s, args...)); !strings.Contains(out, "election") || !strings.Contains(out, "value one") {
			t.Errorf("dlock %s: %s", args, out)
		}
	}
	s.Do(t, "DEL", "name")
	second := nextTerm(w)
	if len(second) != len(first) || second <= first {
		t.Errorf("dlock leads again with the number %s after %s", second, first)
	}

	next := lead("two")
	redistest.Eventually(t, redistest.Patience, func() bool { return waiters(t, e) == 1 }, "the second dlock campaigns")
	w.Kill() // on Linux, this also kills the command
	third := <-next.Lines()
	if len(third) != len(second) || third <= second {
		t.Errorf("the next dlock leads with the number %s after %s", third, second)
	}
	if err := syscall.Kill(next.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out := remainingOutput(next); out != "TERM\n" {
		t.Errorf("after SIGTERM, dlock printed %q", out)
	}
	expectExit(t, next, 3)
	if _, err := e.Leader(t.Context()); err == nil {
		t.Error("dlock has not resigned")
	}
	expectExit(t, dlock(t, s, "-lead", "name", "--", "sh", "-c", "exit 7"), 7)
}

func fenceText(n int64) string {
	return strings.TrimPrefix(environment(nil, config{}, n)[1], "DLOCK_FENCE=")
}

// nextTerm returns the number of the next term. It skips "TERM", which the command prints unless it
// is killed first.
func nextTerm(w *redistest.Worker) string {
	line := <-w.Lines()
	if line == "TERM" {
		line = <-w.Lines()
	}
	return line
}

func waiters(t *testing.T, e *mutex.Election) int {
	t.Helper()
	s, err := e.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Waiters
}

// TestLeadThroughOutage restarts Redis without data while dlock leads.
func TestLeadThroughOutage(t *testing.T) {
	s := redistest.Start(t)
	w := dlock(t, s, append([]string{"-lead", "-ttl", "4s", "name", "--"}, leadScript...)...)
	first := <-w.Lines()
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	second := nextTerm(w)
	if len(second) != len(first) || second <= first {
		t.Errorf("dlock leads again with the number %s after %s", second, first)
	}
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectLine(t, w, "TERM")
	expectExit(t, w, 3)
}

// TestKubernetes checks the README's manifests with dlock's own parser.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	manifests := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(manifests) < 2 {
		t.Fatalf("the README has %d manifests, want 2", len(manifests))
	}
	for _, m := range manifests {
		kind := regexp.MustCompile(`(?m)^kind: (\w+)$`).FindStringSubmatch(m[1])[1]
		args := regexp.MustCompile(`(?m)^ +args: \[(.*)\]$`).FindStringSubmatch(m[1])
		if args == nil {
			t.Fatalf("%s has no args on one line", kind)
		}
		var words []string
		for word := range strings.SplitSeq(args[1], ", ") {
			words = append(words, strings.ReplaceAll(strings.Trim(word, `"`), "$(POD_NAME)", "pod"))
		}
		c, err := parse(words)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if c.Lead != (kind == "Deployment") || c.Once != (kind == "CronJob") {
			t.Errorf("%s: -lead is %v, -once is %v", kind, c.Lead, c.Once)
		}
		grace := regexp.MustCompile(`terminationGracePeriodSeconds: (\d+)`).FindStringSubmatch(m[1])
		if grace == nil {
			t.Errorf("%s has no terminationGracePeriodSeconds", kind)
		}
		if !strings.Contains(m[1], "name: REDIS_URL") || strings.Contains(args[1], "$(POD_NAME)") && !strings.Contains(m[1], "name: POD_NAME") {
			t.Errorf("%s lacks an environment variable", kind)
		}
	}
	all, _ := os.ReadFile("config.go")
	for _, m := range regexp.MustCompile("`(-[a-z-]+)[^`]*`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(all), `"`+m[1][1:]+`"`) {
			t.Errorf("the README uses the flag %s, which dlock does not have", m[1])
		}
	}
}
