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

// forever is a command that says under which number it leads, and when it is asked to end.
var forever = []string{"sh", "-c", `trap "echo asked; exit 3" TERM; echo $DLOCK_FENCE; while :; do sleep 0.02; done`}

// TestLead: the command runs while dlock leads, again after a loss, and in the next process after
// a death.
func TestLead(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	lead := func(value string) *redistest.Worker {
		return dlock(t, s, append([]string{"-lead", "-ttl", "4s", "-value", value, "name", "--"}, forever...)...)
	}
	w := lead("one")
	first := <-w.Lines()
	e := mutex.NewElection(rdb, "name")
	if l, err := e.Leader(t.Context()); err != nil || l.Value != "one" || fence(l.Number) != first {
		t.Errorf("Leader returns %+v, %v; the command says %s", l, err, first)
	}
	for _, args := range [][]string{{"ls"}, {"inspect", "name"}} {
		if out := rest(dlock(t, s, args...)); !strings.Contains(out, "election") || !strings.Contains(out, "value one") {
			t.Errorf("dlock %s: %s", args, out)
		}
	}
	s.Do(t, "DEL", "name")
	second := leadsAgain(w)
	if len(second) != len(first) || second <= first {
		t.Errorf("it leads again with the number %s after %s", second, first)
	}

	next := lead("two")
	redistest.Eventually(t, redistest.Patience, func() bool { return waiters(t, e) == 1 }, "nobody campaigns")
	w.Kill() // and on Linux its command
	third := <-next.Lines()
	if len(third) != len(second) || third <= second {
		t.Errorf("the next leads with the number %s after %s", third, second)
	}
	if err := syscall.Kill(next.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out := rest(next); out != "asked\n" {
		t.Errorf("ended by a signal it says %q", out)
	}
	exits(t, next, 3)
	if _, err := e.Leader(t.Context()); err == nil {
		t.Error("it has not resigned")
	}
	exits(t, dlock(t, s, "-lead", "name", "--", "sh", "-c", "exit 7"), 7)
}

func fence(n int64) string {
	return strings.TrimPrefix(environment(nil, config{}, n)[1], "DLOCK_FENCE=")
}

// leadsAgain returns the number of the next term. The command may have said before that it was
// asked to end: on a busy machine it is killed before it can.
func leadsAgain(w *redistest.Worker) string {
	line := <-w.Lines()
	if line == "asked" {
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

// TestLeadThroughOutage restarts Redis without data under a leader.
func TestLeadThroughOutage(t *testing.T) {
	s := redistest.Start(t)
	w := dlock(t, s, append([]string{"-lead", "-ttl", "4s", "name", "--"}, forever...)...)
	first := <-w.Lines()
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	second := leadsAgain(w)
	if len(second) != len(first) || second <= first {
		t.Errorf("it leads again with the number %s after %s", second, first)
	}
	if err := syscall.Kill(w.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	says(t, w, "asked")
	exits(t, w, 3)
}

// TestKubernetes checks the manifests of the README: the commands by dlock's own parser, and the
// times against each other.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	manifests := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(manifests) < 2 {
		t.Fatalf("the README has %d manifests", len(manifests))
	}
	for _, m := range manifests {
		kind := regexp.MustCompile(`(?m)^kind: (\w+)$`).FindStringSubmatch(m[1])[1]
		args := regexp.MustCompile(`(?m)^ +args: \[(.*)\]$`).FindStringSubmatch(m[1])
		if args == nil {
			t.Fatalf("%s has no args in one line", kind)
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
			t.Errorf("%s lacks a variable", kind)
		}
	}
	all, _ := os.ReadFile("config.go")
	for _, m := range regexp.MustCompile("`(-[a-z-]+)[^`]*`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(all), `"`+m[1][1:]+`"`) {
			t.Errorf("the README has the flag %s, and dlock has not", m[1])
		}
	}
}
