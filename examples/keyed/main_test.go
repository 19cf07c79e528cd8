package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestMain(m *testing.M) {
	if os.Getenv(taskEnv) != "" { // a worker that a test's office has hired
		main()
		return
	}
	redistest.Main(m, map[string]func(){"keyed": func() {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("ARGS"))...)
		main()
	}})
}

func brief() config {
	return config{Prefix: "demo:", TTL: 500 * time.Millisecond, Workers: 2, Each: 3, Customers: 3, Length: 1500 * time.Millisecond}
}

const promise = "no money was lost\n"

var refused = regexp.MustCompile(`\n(\d+) readings and writings refused`)

// shows reads the summary of a run that nothing went wrong in.
func shows(t *testing.T, out string) {
	t.Helper()
	if !strings.HasSuffix(out, promise) {
		t.Error("it does not end well")
	}
	if !strings.Contains(out, " s: another has come with a newer fence\n") {
		t.Error("no worker was stopped until another had its lock")
	}
	if m := refused.FindStringSubmatch(out); m == nil || m[1] == "0" {
		t.Error("the one that was stopped was not refused")
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), brief(), &out); err != nil {
		t.Error(err)
	}
	shows(t, out.String())
}

func TestServer(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "keyed", "REDIS_URL="+s.URL(), "ARGS=-workers 3 -each 3 -customers 4 -for 1500ms -ttl 500ms")
	out := rest(p)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	shows(t, out)
	keys, err := s.Client(t).Keys(t.Context(), "keyed-demo:*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("locks that nobody holds: %q, %v", keys, err)
	}
}

// rest returns what the process writes from now on.
func rest(p *redistest.Worker) string {
	var out strings.Builder
	for line := range p.Lines() {
		out.WriteString(line + "\n")
	}
	return out.String()
}

// Where the locks fail, as here that Redis forgets them again and again, the
// fences do not.
func TestForgottenLocks(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	p := redistest.Spawn(t, "keyed", "REDIS_URL="+s.URL(), "ARGS=-workers 3 -customers 2 -for 1500ms -ttl 500ms")
	out := ""
	for line := range p.Lines() {
		out += line + "\n"
		for range 20 { // for each line
			if err := rdb.Del(t.Context(), "keyed-demo:customer-1", "keyed-demo:customer-2").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Wait(); err != nil || !strings.HasSuffix(out, promise) {
		t.Errorf("%v\n%s", err, out)
	}
}

// Ctrl-C ends it, and what has begun is finished.
func TestInterrupt(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.Spawn(t, "keyed", "REDIS_URL="+s.URL(), "ARGS=-for 1h -ttl 10m")
	for line := range p.Lines() {
		if strings.Contains(line, "is there") && !strings.Contains(line, " 0 deposits") {
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
	if err := p.Wait(); err != nil || !strings.HasSuffix(out, promise) {
		t.Errorf("%v\n%s", err, out)
	}
	if keys, err := s.Client(t).Keys(t.Context(), "keyed-demo:*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("locks that nobody holds: %q, %v", keys, err)
	}
}

// Ctrl-C while a worker is stopped lets that one go on, and end.
func TestInterruptStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := brief()
	c.TTL = time.Hour
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, c, w)
		w.Close()
	}()
	var out bytes.Buffer
	for b := make([]byte, 4096); !strings.Contains(out.String(), "was stopped"); {
		n, err := r.Read(b)
		if out.Write(b[:n]); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	cancel()
	if _, err := out.ReadFrom(r); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || !strings.HasSuffix(out.String(), promise) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestBank(t *testing.T) {
	b := newBank(2)
	one, two := b.customers()[0], b.customers()[1]
	b.announce(one, 10)
	apply := func(fence int64) bool {
		e := []Entry{{Customer: one, Fence: fence}}
		if !b.read(e) {
			return false
		}
		e[0].Balance += e[0].Next
		e[0].Applied++
		return b.write(e)
	}
	if !apply(5) {
		t.Error("it refuses the first fence")
	}
	if apply(4) {
		t.Error("it admits an older fence")
	}
	// All or nothing: the second account would admit it.
	if b.write([]Entry{{Customer: two, Fence: 4, Balance: 1}, {Customer: one, Fence: 4, Balance: 9, Applied: 1}}) {
		t.Error("it admits one that is older for one account")
	}
	// Who only reads with a newer fence shuts the older out.
	if !b.read([]Entry{{Customer: one, Fence: 6}}) || apply(5) {
		t.Error("it admits a fence that is older than that of a reader")
	}
	var out strings.Builder
	if err := b.summary(&out); err != nil || !strings.HasSuffix(out.String(), promise) {
		t.Errorf("%v\n%s", err, out.String())
	}

	// Money that comes from nowhere.
	if !b.write([]Entry{{Customer: one, Fence: 6, Balance: 11, Applied: 1}, {Customer: two, Fence: 6}}) {
		t.Error("it refuses the newest fence")
	}
	if err := b.summary(io.Discard); err == nil || !strings.Contains(err.Error(), "11 is there of 10") {
		t.Error(err)
	}
}

// What waiting cannot cure ends the program, a worker's failure too.
func TestFails(t *testing.T) {
	c := brief()
	c.URL = "http://nonsense"
	if err := run(t.Context(), c, io.Discard); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Error(err)
	}
	c = brief()
	c.Prefix = "baton:{demo}"
	var exit *exec.ExitError
	if err := run(t.Context(), c, io.Discard); !errors.As(err, &exit) {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{
		"-workers 1", "-each 0", "-customers 1", "-for 0s", "-ttl 1ms", "-nonsense", "nonsense",
	} {
		var usage bytes.Buffer
		if _, err := parse(strings.Fields(args), &usage); err == nil || usage.Len() == 0 {
			t.Errorf("%s: %v, %q", args, err, usage.String())
		}
	}
	var exit *exec.ExitError
	if err := redistest.Spawn(t, "keyed", "ARGS=-workers 0").Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Error(err)
	}
	if err := redistest.Spawn(t, "keyed", "ARGS=-help").Wait(); err != nil {
		t.Error(err)
	}
}
