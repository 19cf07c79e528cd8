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

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// environ is the environment of a dlock that is started inside another dlock.
func environ(s *redistest.Server, args []string) []string {
	// The race detector would sleep for a second at the end of each process.
	return []string{"REDIS_URL=" + s.URL(), "USER=me", "DLOCK_NAME=outer", "DLOCK_FENCE=1", "GORACE=atexit_sleep_ms=0", "ARGS=" + strings.Join(args, "\n")}
}

// dlock starts dlock in a process of its own.
func dlock(t *testing.T, s *redistest.Server, args ...string) *redistest.Worker {
	t.Helper()
	return redistest.Spawn(t, "dlock", environ(s, args)...)
}

// command returns dlock as an exec.Cmd, for tests that set its files.
func command(t *testing.T, s *redistest.Server, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(append(os.Environ(), "BATON_WORKER=dlock"), environ(s, args)...)
	return cmd
}

// expectExit waits for the end of a process, and checks its exit status.
func expectExit(t *testing.T, w interface{ Wait() error }, want int) {
	t.Helper()
	err := w.Wait()
	var exit *exec.ExitError
	status := 0
	if errors.As(err, &exit) {
		status, err = exit.ExitCode(), nil
	}
	if err != nil || status != want {
		t.Errorf("dlock ended with %v, status %d, want status %d", err, status, want)
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

// expectOutput runs dlock, whose output must have each part.
func expectOutput(t *testing.T, s *redistest.Server, args string, parts ...string) {
	t.Helper()
	out := remainingOutput(dlock(t, s, strings.Fields(args)...))
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("dlock %s did not print %q:\n%s", args, part, out)
		}
	}
}

// lock acquires a lock, as another process does.
func lock(t *testing.T, s *redistest.Server, name string) *mutex.Lease {
	t.Helper()
	l, err := mutex.New(s.Client(t), name).LockContext(t.Context())
	check(t, err)
	return l
}

func mutexStatus(t *testing.T, s *redistest.Server, name string) mutex.Status {
	t.Helper()
	status, err := mutex.New(s.Client(t), name).Inspect(t.Context())
	check(t, err)
	return status
}

// awaitWaiter waits until another process waits for the lock.
func awaitWaiter(t *testing.T, s *redistest.Server, name string) {
	t.Helper()
	m := mutex.New(s.Client(t), name)
	redistest.Eventually(t, redistest.Patience, func() bool {
		status, err := m.Inspect(t.Context())
		return err == nil && status.Waiters == 1
	}, "a process waits for %s", name)
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
	defer lock(t, s, "held").Unlock()
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
}

// TestRefused: a server that refuses commands is not reported as a held lock.
func TestRefused(t *testing.T) {
	for name, refuse := range map[string][]any{
		"a replica": {"REPLICAOF", "127.0.0.1", "1"}, "a full memory": {"CONFIG", "SET", "maxmemory", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			s.Do(t, refuse...)
			for _, flags := range []string{"-w 300ms", "-w 0", "-w 300ms -n 2", "-w 300ms -shared"} {
				var exit *exec.ExitError
				for wait := 300 * time.Millisecond; wait < redistest.Patience; wait *= 4 { // on a busy machine, the reply may come later
					args := strings.ReplaceAll(flags, "300ms", wait.String()) + " name -- true"
					if !errors.As(dlock(t, s, strings.Fields(args)...).Wait(), &exit) || exit.ExitCode() != exitNotAcquired {
						break
					}
				}
				if exit == nil || exit.ExitCode() != exitUnavailable {
					t.Errorf("dlock %s: %v", flags, exit)
				}
			}
		})
	}
}

// TestContend: two dlocks use one lock. The second gets it when the first has ended, with a larger
// fence. The command gets the input of dlock, and the variables of the inner dlock only.
func TestContend(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	script := []string{"name", "--", "sh", "-c", `env | grep ^DLOCK_ | sort; read word; echo $word`}
	last := int64(1)
	expectVariables := func(w *redistest.Worker, ttl string) {
		t.Helper()
		text, _ := strings.CutPrefix(<-w.Lines(), "DLOCK_FENCE=")
		fence, err := strconv.ParseInt(text, 10, 64)
		if err != nil || fence <= last {
			t.Errorf("the fence is %d after %d: %v", fence, last, err)
		}
		last = fence
		expectLine(t, w, "DLOCK_NAME=name")
		expectLine(t, w, "DLOCK_TTL_MS="+ttl)
	}
	a := dlock(t, s, append([]string{"-ttl", "20s"}, script...)...)
	expectVariables(a, "20000")
	b := dlock(t, s, script...)
	awaitWaiter(t, s, "name")
	if label := mutexStatus(t, s, "name").Holders[0].Label; label != "me: sh -c "+script[4] {
		t.Errorf("the label is %q", label)
	}
	a.Send("word")
	expectLine(t, a, "word")
	expectExit(t, a, 0)
	expectVariables(b, "10000")
	b.CloseInput()
	expectExit(t, b, 0)
	if mutexStatus(t, s, "name").Held() {
		t.Error("the lock is still held")
	}
}

// untilInput is a command that ends when its input has a line or ends.
var untilInput = []string{"sh", "-c", "echo in; read x; echo out"}

func TestPermitsAndShared(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for flag, refused := range map[string]string{"-n=2": "-n=2", "-shared": "-exclusive"} {
		name := "name" + flag
		var holders [2]*redistest.Worker
		for i := range holders {
			holders[i] = dlock(t, s, slices.Concat([]string{flag, name, "--"}, untilInput)...)
			expectLine(t, holders[i], "in")
		}
		expectExit(t, dlock(t, s, refused, "-w=0", name, "--", "true"), exitNotAcquired)
		for _, w := range holders {
			w.CloseInput()
			expectLine(t, w, "out")
			expectExit(t, w, 0)
		}
	}
}
