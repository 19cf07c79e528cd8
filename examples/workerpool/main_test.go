package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/semaphore"
)

func TestMain(m *testing.M) {
	if os.Getenv(taskEnv) != "" { // a worker that a test's fleet has started
		main()
		return
	}
	redistest.Main(m, map[string]func(){"workerpool": func() {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("ARGS"))...)
		main()
	}})
}

func brief() config {
	return config{
		Key: "demo", TTL: time.Second, Workers: 4, Each: 3, Permits: 4, Rate: 200,
		Job: 20 * time.Millisecond, Length: 2 * time.Second,
	}
}

var summary = regexp.MustCompile(`(?s)\n(\d+) jobs begun in .*` +
	`\n(\d+) jobs done, \d+ permits lost` +
	`\nat most (\d+) permits in use at once, of 4\n` +
	`worker \d was killed with [1-4] permits in use: the others had at most [0-3], until these came back after ([\d.]+) s, with a TTL of 1s\n` +
	`all permits are free now\n$`)

// shows reads the summary of a run that nothing went wrong in.
func shows(t *testing.T, out string) {
	t.Helper()
	m := summary.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("it ends otherwise:\n%s", out)
	}
	if begun, _ := strconv.Atoi(m[1]); begun < 20 {
		t.Errorf("%d jobs only", begun)
	}
	if back, _ := strconv.ParseFloat(m[4], 64); back < 0.6 {
		t.Errorf("the permits of who had died came back after %v s", back)
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), brief(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	shows(t, out.String())
}

func TestServer(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "workerpool", "REDIS_URL="+s.URL(),
		"ARGS=-workers 4 -permits 4 -rate 200 -job 20ms -for 2s -ttl 1s")
	out := rest(p)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	shows(t, out)
}

// rest returns what the process writes from now on.
func rest(p *redistest.Worker) string {
	var out strings.Builder
	for line := range p.Lines() {
		out.WriteString(line + "\n")
	}
	return out.String()
}

// Several fleets share the permits, and the one that is started later says how
// many there are.
func TestAnotherSize(t *testing.T) {
	s := redistest.Start(t)
	old := semaphore.NewWeighted(s.Client(t), "demo", 9)
	if err := old.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c := brief()
	c.URL = s.URL()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(t.Context(), c, w)
		w.Close()
	}()
	said := ""
	for lines := bufio.NewScanner(r); lines.Scan(); said = lines.Text() {
		if strings.HasPrefix(lines.Text(), "at most ") {
			if got := lines.Text(); got > "at most 3 permits in use at once, of 4" {
				t.Error(got)
			}
			old.Release(1)
		}
	}
	if err := <-ended; err != nil || said != "all permits are free now" {
		t.Error(err, said)
	}
}

// The exit status tells of too many jobs.
func TestTooMany(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "workerpool", "REDIS_URL="+s.URL(), "ARGS=-permits 2 -key k -ttl 500ms -for 1s -rate 1000")
	<-p.Lines() // it is about to take permits, and not to state their number again
	if err := semaphore.NewWeighted(s.Client(t), "k", 2).Resize(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	out := rest(p)
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Ctrl-C ends it at once, and every permit comes back. (With a Redis that is slow
// to answer, a worker may be gone before its last request is undone. So the TTL
// is not a long one.)
func TestInterrupt(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "workerpool", "REDIS_URL="+s.URL(), "ARGS=-for 1h")
	for line := range p.Lines() {
		if strings.Contains(line, " in use, by worker ") {
			break
		}
	}
	self, err := os.FindProcess(p.Pid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := rest(p)
	if err := p.Wait(); err != nil || !strings.HasSuffix(out, "no worker was killed\nall permits are free now\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Its workers end with it, however it ends.
func TestKilled(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "workerpool", "REDIS_URL="+s.URL(), "ARGS=-for 1h -ttl 10m")
	for line := range p.Lines() {
		if strings.Contains(line, " in use, by worker ") {
			break
		}
	}
	p.Kill()
	rdb := s.Client(t)
	redistest.Eventually(t, 10*time.Second, func() bool {
		list, err := rdb.ClientList(t.Context()).Result()
		return err == nil && strings.Count(list, "id=") <= 2 // the test's own two
	}, "its workers leave Redis")
}

// What waiting cannot cure ends the program.
func TestFails(t *testing.T) {
	c := brief()
	c.Key = "baton:{demo}"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), c.Key) {
		t.Error(err)
	}
	c = brief()
	c.URL = "http://nonsense"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Error(err)
	}

	// A worker's failure is one of the whole.
	s := redistest.Start(t)
	if err := s.Client(t).LPush(t.Context(), "demo:rate", "not a bucket").Err(); err != nil {
		t.Fatal(err)
	}
	c = brief()
	c.URL = s.URL()
	var exit *exec.ExitError
	if err := run(t.Context(), c, io.Discard); !errors.As(err, &exit) {
		t.Error(err)
	}
}

// One process tells its permits from the other's: the board counts them all.
func TestBoard(t *testing.T) {
	for name, test := range map[string]struct {
		events  []event
		rate    float64
		problem string
	}{
		"ok":           {[]event{{1, 7, takes}, {1, 7, begins}, {1, 7, ends}, {1, 7, gives}, {2, 8, takes}, {2, 8, gives}}, 1e6, ""},
		"too many":     {[]event{{1, 7, takes}, {2, 8, takes}}, 1e6, "2 permits were in use at once, of 1"},
		"too fast":     {[]event{{1, 7, takes}, {1, 7, begins}, {1, 7, ends}, {1, 7, begins}}, 1e-9, "2 jobs began, of 1 allowed"},
		"after a kill": {[]event{{1, 7, takes}, {1, 0, died}, {2, 8, takes}}, 1e6, ""},
		"after a loss": {[]event{{1, 7, takes}, {2, 8, takes}, {2, 8, gives}, {1, 7, gives}, {1, 7, lost}}, 1e6, ""},
	} {
		c := brief()
		c.Permits, c.Rate = 1, test.rate
		f := &fleet{events: make(chan event, len(test.events))}
		for _, e := range test.events {
			f.events <- e
		}
		close(f.events)
		b := newBoard(c, io.Discard)
		b.watch(f, func() {})
		if err := b.summary(); (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{
		"-workers 1", "-each 0", "-permits 0", "-rate 0", "-rate NaN", "-job 0s", "-for 0s", "-key=", "-ttl 1ms", "-nonsense", "nonsense",
	} {
		var usage bytes.Buffer
		if _, err := parse(strings.Fields(args), &usage); err == nil || usage.Len() == 0 {
			t.Errorf("%s: %v, %q", args, err, usage.String())
		}
	}
	var exit *exec.ExitError
	if err := redistest.Spawn(t, "workerpool", "ARGS=-workers 0").Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Error(err)
	}
	if err := redistest.Spawn(t, "workerpool", "ARGS=-help").Wait(); err != nil {
		t.Error(err)
	}
}
