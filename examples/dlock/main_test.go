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

// atOnce keeps the race detector from waiting for a second at the end of each process.
const atOnce = "GORACE=atexit_sleep_ms=0"

// dlock starts it in a process of its own.
func dlock(t *testing.T, s *redistest.Server, args ...string) *redistest.Worker {
	t.Helper()
	return redistest.Spawn(t, "dlock", "REDIS_URL="+s.URL(), "USER=me", atOnce, "ARGS="+strings.Join(args, "\n"))
}

// command is dlock for those who give it files of their own.
func command(t *testing.T, s *redistest.Server, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), "BATON_WORKER=dlock", "REDIS_URL="+s.URL(), atOnce, "ARGS="+strings.Join(args, "\n"))
	return cmd
}

// exits checks the status of a process that ends.
func exits(t *testing.T, w *redistest.Worker, want int) {
	t.Helper()
	err := w.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil && want == 0:
	case errors.As(err, &exit) && exit.ExitCode() == want:
	default:
		t.Errorf("it ended with %v, not with status %d", err, want)
	}
}

// says checks the next line.
func says(t *testing.T, w *redistest.Worker, want string) {
	t.Helper()
	if line := <-w.Lines(); line != want {
		t.Fatalf("it says %q, not %q", line, want)
	}
}

// rest returns the lines until nobody is left who could write any.
func rest(w *redistest.Worker) string {
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
			t.Errorf("dlock %s: %d", args, status)
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
		t.Errorf("without Redis: %d", status)
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
			t.Errorf("dlock %s: %d, not %d", c.args, status, c.status)
		}
	}
	for script, want := range map[string]int{"exit 3": 3, "kill -9 $$": 137, "kill -15 $$": 143} {
		if status := run([]string{"free", "--", "sh", "-c", script}); status != want {
			t.Errorf("%s: %d, not %d", script, status, want)
		}
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}

// A server that refuses is not a lock that others have, however long dlock has waited.
func TestRefused(t *testing.T) {
	for name, refuse := range map[string][]any{
		"a replica": {"REPLICAOF", "127.0.0.1", "1"}, "a full memory": {"CONFIG", "SET", "maxmemory", "1"},
	} {
		s := redistest.Start(t)
		t.Setenv("REDIS_URL", s.URL())
		s.Do(t, refuse...)
		for _, flags := range []string{"-w 300ms", "-w 0", "-w 300ms -n 2", "-w 300ms -shared"} {
			status := exitNotAcquired
			for wait := 300 * time.Millisecond; status == exitNotAcquired && wait < redistest.Patience; wait *= 4 { // a busy machine may have no answer by then
				status = run(strings.Fields(strings.ReplaceAll(flags, "300ms", wait.String()) + " name -- true"))
			}
			if status != exitUnavailable {
				t.Errorf("%s, dlock %s: %d", name, flags, status)
			}
		}
	}
}

// Two shells contend. The second has the lock when the first has ended, and a larger fence;
// what it is sent goes to the command.
func TestContend(t *testing.T) {
	s := redistest.Start(t)
	script := []string{"name", "--", "sh", "-c", `echo $DLOCK_NAME $DLOCK_TTL_MS; echo $DLOCK_FENCE; read word; echo $word`}
	a := dlock(t, s, append([]string{"-ttl", "20s"}, script...)...)
	says(t, a, "name 20000")
	b := dlock(t, s, script...)
	m := mutex.New(s.Client(t), "name")
	redistest.Eventually(t, 5*time.Second, func() bool { return see(t, m).Waiters == 1 }, "the second does not wait")
	if label := see(t, m).Holders[0].Label; label != "me: sh -c "+script[4] {
		t.Errorf("it is called %q", label)
	}
	first, err := strconv.ParseInt(<-a.Lines(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	a.Send("word")
	says(t, a, "word")
	exits(t, a, 0)
	says(t, b, "name 10000")
	if second, err := strconv.ParseInt(<-b.Lines(), 10, 64); err != nil || second <= first {
		t.Errorf("the fence is %d, after %d: %v", second, first, err)
	}
	b.CloseInput()
	exits(t, b, 0)
	if see(t, m).Held() {
		t.Error("it is still held")
	}
}

func see(t *testing.T, m *mutex.Mutex) mutex.Status {
	t.Helper()
	s, err := m.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reading is a command that ends when it is sent a line.
var reading = []string{"sh", "-c", "echo in; read x; echo out"}

func TestPermitsAndShared(t *testing.T) {
	s := redistest.Start(t)
	t.Setenv("REDIS_URL", s.URL())
	for _, flag := range []string{"-n=2", "-shared"} {
		name := "name" + flag
		a := dlock(t, s, append([]string{flag, name, "--"}, reading...)...)
		b := dlock(t, s, append([]string{flag, name, "--"}, reading...)...)
		says(t, a, "in")
		says(t, b, "in")
		if flag == "-n=2" {
			if status := run([]string{flag, "-w=0", name, "--", "true"}); status != exitNotAcquired {
				t.Errorf("a third of two: %d", status)
			}
		} else if status := run([]string{"-exclusive", "-w=0", name, "--", "true"}); status != exitNotAcquired {
			t.Errorf("a writer among readers: %d", status)
		}
		a.CloseInput()
		b.CloseInput()
		says(t, a, "out")
		says(t, b, "out")
		exits(t, a, 0)
		exits(t, b, 0)
	}
}

func TestHoldAtLeast(t *testing.T) {
	s := redistest.Start(t)
	start := time.Now()
	w := dlock(t, s, "-hold-at-least", "300ms", "name", "--", "echo", "out")
	says(t, w, "out")
	m := mutex.New(s.Client(t), "name")
	l, err := m.LockContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if held := time.Since(start); held < 300*time.Millisecond {
		t.Errorf("the lock was free after %v", held)
	}
	exits(t, w, 0)
	_ = l.Unlock()
}

// Inside another dlock the command finds its own, and nothing else.
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
		t.Errorf("it finds %q", ours)
	}
}
