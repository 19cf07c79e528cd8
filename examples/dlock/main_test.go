package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

func TestMain(m *testing.M) {
	redistest.Main(m, map[string]func(){"dlock": func() { os.Exit(run(strings.Split(os.Getenv("ARGS"), "\n"))) }})
}

// noExitDelay keeps the race detector from sleeping for a second at the end of each process.
const noExitDelay = "GORACE=atexit_sleep_ms=0"

// dlock starts dlock in a process of its own.
func dlock(t *testing.T, s *redistest.Server, args ...string) *redistest.Worker {
	t.Helper()
	return redistest.Spawn(t, "dlock", "REDIS_URL="+s.URL(), "USER=me", noExitDelay, "ARGS="+strings.Join(args, "\n"))
}

// command returns dlock as an exec.Cmd, for tests that set its files.
func command(t *testing.T, s *redistest.Server, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), "BATON_WORKER=dlock", "REDIS_URL="+s.URL(), noExitDelay, "ARGS="+strings.Join(args, "\n"))
	return cmd
}

// expectExit waits for the end of a process, and checks its exit status.
func expectExit(t *testing.T, w *redistest.Worker, want int) {
	t.Helper()
	err := w.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case errors.As(err, &exit) && exit.ExitCode() == want:
	default:
		t.Errorf("dlock ended with %v, want status %d", err, want)
	}
}

// expectLine checks the next line of output.
func expectLine(t *testing.T, w *redistest.Worker, want string) {
	t.Helper()
	if line := <-w.Lines(); line != want {
		t.Fatalf("dlock printed %q, want %q", line, want)
	}
}

// remainingOutput returns the lines until all writers of the pipe have ended.
func remainingOutput(w *redistest.Worker) string {
	var out strings.Builder
	for line := range w.Lines() {
		out.WriteString(line + "\n")
	}
	return out.String()
}

func TestUsage(t *testing.T) {
	for _, args := range []string{
		"", "name", "name true", "name --", "-- true", "-n 0 name -- true", "-n 1099511627777 name -- true", "-n 2 -shared name -- true", "-exclusive -shared name -- true", "-w -1s name -- true", "-ttl 99ms name -- true",
		"-hold-at-least -1s name -- true", "-E 256 name -- true", "-nonsense name -- true", "-lead -n 2 name -- true", "-lead -shared name -- true", "-lead -w 1s name -- true", "-lead -hold-at-least 1s name -- true", "-value x name -- true",
		"-once -n 2 name -- true", "-once -shared name -- true", "-once -hold-at-least 1s name -- true", "-every 1s name -- true", "-once -every 0 name -- true", "-once -lead name -- true",
		"ls a b", "inspect", "watch", "watch a b", "unlock a",
		"unlock -force", "unlock -force a", "unlock -nonsense a", "ls -nonsense", "ui a", "ui -nonsense",
	} {
		if status := run(strings.Fields(args)); status != exitUsage {
			t.Errorf("dlock %s: exit status %d", args, status)
		}
	}
	t.Setenv("REDIS_URL", "")
	for _, args := range []string{"name -- " + os.Args[0], "ls", "inspect a", "unlock -force -yes a"} {
		if status := run(strings.Fields(args)); status != exitUsage {
			t.Errorf("without REDIS_URL, dlock %s: %d", args, status)
		}
	}
	t.Setenv("REDIS_URL", "redis://127.0.0.1:1")
	if status := run([]string{"ls", "--", os.Args[0]}); status != exitUnavailable {
		t.Errorf("without Redis: exit status %d", status)
	}
}

func TestStatus(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("REDIS_URL", s.URL())
	s.PutTypes(t)
	l, err := mutex.New(s.Client(t), "held").LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
	}{
		{"free -- true", 0}, {"free -- false", 1}, {"-n 2 free-n -- true", 0}, {"-shared free-rw -- true", 0}, {"-exclusive free-rw -- true", 0}, {"ls -- true", 0},
		{"free -- no-such-command", 127}, {"free -- ./no-such-file", 127}, {"free -- /", 126},
		{"-w 0 held -- true", 75}, {"-w 50ms held -- true", 75}, {"-w 50ms -E 0 held -- false", 0}, {"-w 0 -E 9 held -- true", 9},
		{"list -- true", 64}, {"-shared held -- true", 64}, {"-n 3 free-n -- true", 64}, {"baton:{x} -- true", 64}, {"inspect list", 64},
	} {
		if status := run(strings.Fields(c.args)); status != c.status {
			t.Errorf("dlock %s: exit status %d, want %d", c.args, status, c.status)
		}
	}
	for script, want := range map[string]int{"exit 3": 3, "kill -9 $$": 137, "kill -15 $$": 143} {
		if status := run([]string{"free", "--", "sh", "-c", script}); status != want {
			t.Errorf("%s: exit status %d, want %d", script, status, want)
		}
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// TestRefused: a server that refuses commands is not reported as a held lock.
func TestRefused(t *testing.T) {
	for name, refuse := range map[string][]any{
		"a replica": {"REPLICAOF", "127.0.0.1", "1"}, "a full memory": {"CONFIG", "SET", "maxmemory", "1"},
	} {
		s := redistest.Start(t)
		t.Setenv("REDIS_URL", s.URL())
		s.Do(t, refuse...)
		for _, flags := range []string{"-w 300ms", "-w 0", "-w 300ms -n 2", "-w 300ms -shared"} {
			status := exitNotAcquired
			for wait := 300 * time.Millisecond; status == exitNotAcquired && wait < redistest.Patience; wait *= 4 { // on a busy machine, the reply may come later
				status = run(strings.Fields(strings.ReplaceAll(flags, "300ms", wait.String()) + " name -- true"))
			}
			if status != exitUnavailable {
				t.Errorf("%s, dlock %s: exit status %d", name, flags, status)
			}
		}
	}
}

// TestContend: two dlocks use one lock. The second gets it when the first has ended, with a larger
// fence. The input of dlock goes to the command.
func TestContend(t *testing.T) {
	s := redistest.Start(t)
	script := []string{"name", "--", "sh", "-c", `echo $DLOCK_NAME $DLOCK_TTL_MS; echo $DLOCK_FENCE; read word; echo $word`}
	a := dlock(t, s, append([]string{"-ttl", "20s"}, script...)...)
	expectLine(t, a, "name 20000")
	b := dlock(t, s, script...)
	m := mutex.New(s.Client(t), "name")
	redistest.Eventually(t, 5*time.Second, func() bool { return mutexStatus(t, m).Waiters == 1 }, "the second dlock waits")
	if label := mutexStatus(t, m).Holders[0].Label; label != "me: sh -c "+script[4] {
		t.Errorf("the label is %q", label)
	}
	first, err := strconv.ParseInt(<-a.Lines(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	a.Send("word")
	expectLine(t, a, "word")
	expectExit(t, a, 0)
	expectLine(t, b, "name 10000")
	if second, err := strconv.ParseInt(<-b.Lines(), 10, 64); err != nil || second <= first {
		t.Errorf("the fence is %d after %d: %v", second, first, err)
	}
	b.CloseInput()
	expectExit(t, b, 0)
	if mutexStatus(t, m).Held() {
		t.Error("the lock is still held")
	}
}

func mutexStatus(t *testing.T, m *mutex.Mutex) mutex.Status {
	t.Helper()
	s, err := m.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// untilInput is a command that ends when its input has a line or ends.
var untilInput = []string{"sh", "-c", "echo in; read x; echo out"}

func TestPermitsAndShared(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("REDIS_URL", s.URL())
	for _, flag := range []string{"-n=2", "-shared"} {
		name := "name" + flag
		a := dlock(t, s, append([]string{flag, name, "--"}, untilInput...)...)
		b := dlock(t, s, append([]string{flag, name, "--"}, untilInput...)...)
		expectLine(t, a, "in")
		expectLine(t, b, "in")
		if flag == "-n=2" {
			if status := run([]string{flag, "-w=0", name, "--", "true"}); status != exitNotAcquired {
				t.Errorf("a third holder of 2 permits: exit status %d", status)
			}
		} else if status := run([]string{"-exclusive", "-w=0", name, "--", "true"}); status != exitNotAcquired {
			t.Errorf("a writer among readers: exit status %d", status)
		}
		a.CloseInput()
		b.CloseInput()
		expectLine(t, a, "out")
		expectLine(t, b, "out")
		expectExit(t, a, 0)
		expectExit(t, b, 0)
	}
}

func TestHoldAtLeast(t *testing.T) {
	s := redistest.Start(t)
	start := time.Now()
	w := dlock(t, s, "-hold-at-least", "300ms", "name", "--", "echo", "out")
	expectLine(t, w, "out")
	m := mutex.New(s.Client(t), "name")
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if held := time.Since(start); held < 300*time.Millisecond {
		t.Errorf("the lock was released after %v", held)
	}
	expectExit(t, w, 0)
	_ = l.Unlock()
}

// TestNested: inside another dlock, the command gets only the variables of the inner dlock.
func TestNested(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("DLOCK_NAME", "outer")
	t.Setenv("DLOCK_FENCE", "1")
	var ours []string
	for line := range dlock(t, s, "-ttl", "7s", "inner", "--", "env").Lines() {
		if strings.HasPrefix(line, "DLOCK_") {
			ours = append(ours, line)
		}
	}
	slices.Sort(ours)
	if len(ours) != 3 || ours[0] == "DLOCK_FENCE=1" || ours[1] != "DLOCK_NAME=inner" || ours[2] != "DLOCK_TTL_MS=7000" {
		t.Errorf("the command's environment has %q", ours)
	}
}
