package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// openPty returns the two ends of a new terminal.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	t.Cleanup(func() { master.Close() })
	var n, lock uint32
	for request, arg := range map[uintptr]*uint32{syscall.TIOCGPTN: &n, syscall.TIOCSPTLCK: &lock} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(arg))); e != 0 {
			t.Fatal(e)
		}
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(n)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// converse runs a command as the first of a session on a terminal of its own, types what answer
// has for each line of it, and returns how it ended.
func converse(t *testing.T, cmd *exec.Cmd, answer func(line string) string) error {
	t.Helper()
	master, slave := openPty(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	late := time.AfterFunc(time.Minute, func() { // all of the session then hang up
		t.Error("it goes on for ever")
		_ = cmd.Process.Kill()
	})
	defer late.Stop()
	for r := bufio.NewReader(master); ; {
		line, err := r.ReadString('\n')
		t.Logf("%q", line)
		if typed := answer(line); typed != "" && err == nil {
			_, err = master.WriteString(typed)
		}
		if err != nil { // all have closed the other end
			return cmd.Wait()
		}
	}
}

// shell runs a script of a shell, whose $0 $1 is dlock, on a terminal. It types "begin" when the script
// says start, which it does in the foreground, and answers the other lines. It returns what was said.
func shell(t *testing.T, dlock *exec.Cmd, script string, answer func(line string) string) (said string, err error) {
	t.Helper()
	sh := exec.Command("sh", "-c", script, dlock.Path, dlock.Args[1])
	sh.Env = dlock.Env
	err = converse(t, sh, func(line string) string {
		if said += line; strings.HasPrefix(line, "start") {
			return "begin\n"
		}
		return answer(line)
	})
	return said, err
}

// Ctrl-C on a terminal reaches the command, once, and what is typed does too.
func TestTerminal(t *testing.T) {
	s := redistest.Start(t)
	const script = `read a b c d group f g foreground i </proc/$$/stat; [ $group = $foreground ] || exit 6; n=0; trap 'n=$((n+1)); echo signal $n' INT; echo in; read x || read x; read x; echo "got $x after $n"; exit 5`
	err := converse(t, command(t, s, "name", "--", "sh", "-c", script), func(line string) string {
		switch {
		case strings.HasPrefix(line, "in"):
			return "\x03"
		case strings.Contains(line, "signal 1"):
			return "one\ntwo\n"
		case strings.Contains(line, "signal 2"):
			t.Error("Ctrl-C came twice")
		case strings.Contains(line, "got ") && !strings.Contains(line, " after 1"):
			t.Errorf("it says %q", line)
		}
		return ""
	})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("it ended with %v", err)
	}
}

// Ctrl-Z stops the command and dlock, and gives the terminal back to the shell; fg undoes that, or
// ends the command if another has had the lock meanwhile.
func TestSuspend(t *testing.T) {
	s := redistest.Start(t)
	for _, c := range []struct {
		ttl, first string
		lost       bool
	}{
		{"1h", "", false},
		{"1h", "trap 'kill -STOP $$' TSTP; ", false}, // as full-screen programs do, which have to clear up
		{"3s", "", true},
	} {
		lost := c.lost
		dlock := command(t, s, "-ttl", c.ttl, "name", "--", "sh", "-c", c.first+`read x; echo in; read x || read x; echo "got $x"; exit 5`)
		said, err := shell(t, dlock, `set -m; echo start; "$0" "$1"; echo stopped $?; read x; fg; echo ended $?`, func(line string) string {
			switch {
			case strings.HasPrefix(line, "in"):
				return "\x1a"
			case strings.Contains(line, "stopped 1"):
				if lost {
					l, err := mutex.New(s.Client(t), "name").LockContext(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer l.Unlock()
				}
				return "go\nword\n"
			}
			return ""
		})
		if err != nil {
			t.Errorf("the shell ended with %v", err)
		}
		got, ended := strings.Contains(said, "got word"), strings.Contains(said, "ended 5\r\n")
		if lost {
			ended = strings.Contains(said, "ended 76\r\n")
		}
		if got == lost || !ended {
			t.Errorf("with the lock lost %v, it went\n%s", lost, said)
		}
	}
}

// A dlock that was stopped, and goes on in the background, leaves the terminal to the shell that has
// taken it meanwhile.
func TestStoppedBackground(t *testing.T) {
	s := redistest.Start(t)
	dlock := command(t, s, "-ttl", "1h", "name", "--", "sh", "-c", `read x; kill -STOP $PPID; exit 5`)
	said, _ := shell(t, dlock, `set -m; echo start; "$0" "$1"; echo stopped $?; bg; wait %1; echo ended $?; read y; echo "got $y"`, func(line string) string {
		if strings.HasPrefix(line, "ended") {
			return "word\n"
		}
		return ""
	})
	if !strings.Contains(said, "ended 5\r\n") || !strings.Contains(said, "got word") {
		t.Errorf("it went\n%s", said)
	}
}

// A command that cannot be run has not kept the terminal.
func TestTerminalCannotRun(t *testing.T) {
	s := redistest.Start(t)
	file := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(file, []byte{0}, 0o700); err != nil {
		t.Fatal(err)
	}
	dlock := command(t, s, "name", "--", file)
	said, _ := shell(t, dlock, `"$0" "$1"; echo ended $?; read y; echo "got $y"`, func(line string) string {
		if strings.HasPrefix(line, "ended 126") {
			return "word\n"
		}
		return ""
	})
	if !strings.Contains(said, "\ngot word") {
		t.Errorf("the shell cannot read: %s", said)
	}
}

// A command that is killed leaves the terminal as it was; one that ends sets it as it likes.
func TestTerminalModes(t *testing.T) {
	s := redistest.Start(t)
	for end, want := range map[string]string{"kill -9 $$": " icanon", "exit 0": "-icanon"} {
		dlock := command(t, s, "name", "--", "sh", "-c", "read x; stty -icanon; "+end)
		said, err := shell(t, dlock, `echo start; "$0" "$1"; stty -a`, func(string) string { return "" })
		if err != nil || !strings.Contains(strings.ReplaceAll(said, "\n", "\n "), want) {
			t.Errorf("after %s it is not%s: %v", end, want, err)
		}
	}
}
