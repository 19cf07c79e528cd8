//go:build unix

package main

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestLead: the command runs while dlock leads. It runs again after a loss and after an outage, and in
// the next process if dlock is killed.
func TestLead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	lead := func(value string) *redistest.Worker {
		return dlock(t, s, "-lead", "-ttl", "4s", "-value", value, "name", "--",
			"sh", "-c", `trap "echo TERM; exit 3" TERM; echo $DLOCK_FENCE; while :; do sleep 0.02; done`)
	}
	last := ""
	expectNext := func(w *redistest.Worker) {
		t.Helper()
		number := <-w.Lines()
		if number == "TERM" { // printed unless the command is killed first
			number = <-w.Lines()
		}
		if len(number) < len(last) || len(number) == len(last) && number <= last {
			t.Errorf("dlock leads with the number %s after %s", number, last)
		}
		last = number
	}
	w := lead("one")
	expectNext(w)
	e := mutex.NewElection(s.Client(t), "name")
	if l, err := e.Leader(t.Context()); err != nil || l.Value != "one" || environment(nil, config{}, l.Number)[1] != "DLOCK_FENCE="+last {
		t.Errorf("Leader returned %+v, %v; the command printed %s", l, err, last)
	}
	expectOutput(t, s, "ls", "election", "value one")
	expectOutput(t, s, "inspect name", "election", "value one")
	s.Do(t, "DEL", "name")
	expectNext(w)
	if err := s.Restart(); err != nil { // without data
		t.Fatal(err)
	}
	expectNext(w)

	next := lead("two")
	awaitWaiter(t, s, "name")
	w.Kill()
	if runtime.GOOS == "linux" { // which kills the command too: it has the other end of the pipe
		remainingOutput(w)
	}
	s.Do(t, "DEL", "name") // as the end of its TTL does
	expectNext(next)
	send(t, next, syscall.SIGTERM)
	if out := remainingOutput(next); out != "TERM\n" {
		t.Errorf("after SIGTERM, dlock printed %q", out)
	}
	expectExit(t, next, 3)
	if _, err := e.Leader(t.Context()); err == nil {
		t.Error("dlock has not resigned")
	}
	expectExit(t, dlock(t, s, "-lead", "name", "--", "sh", "-c", "exit 7"), 7)
}

// TestKubernetes checks the README's manifests with dlock's own parser.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("README.md")
	check(t, err)
	found := func(text, pattern string) string {
		t.Helper()
		m := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("a manifest lacks %q", pattern)
		}
		return m[1]
	}
	manifests := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllString(string(text), -1)
	if len(manifests) < 2 {
		t.Fatalf("the README has %d manifests, want 2", len(manifests))
	}
	for _, m := range manifests {
		kind, args := found(m, `^kind: (\w+)$`), found(m, `^ +args: \[(.*)\]$`)
		found(m, `terminationGracePeriodSeconds: (\d+)`)
		found(m, `name: (REDIS_URL)`)
		if strings.Contains(args, "$(POD_NAME)") {
			found(m, `name: (POD_NAME)`)
		}
		c, err := parse(strings.Split(strings.NewReplacer(`"`, "", "$(POD_NAME)", "pod").Replace(args), ", "))
		if err != nil || c.Lead != (kind == "Deployment") || c.Once != (kind == "CronJob") {
			t.Errorf("%s: -lead is %v, -once is %v, %v", kind, c.Lead, c.Once, err)
		}
	}
	all, _ := os.ReadFile("config.go")
	for _, m := range regexp.MustCompile("`(-[a-z-]+)[^`]*`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(all), `"`+m[1][1:]+`"`) {
			t.Errorf("the README uses the flag %s, which dlock does not have", m[1])
		}
	}
}
