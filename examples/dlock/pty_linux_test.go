package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// openPty returns the two ends of a new terminal.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals:", err)
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

// runOnTerminal runs a command as the leader of a session on a new terminal. For each line of output,
// it types the text that answer returns. It returns the error of the command.
func runOnTerminal(t *testing.T, cmd *exec.Cmd, answer func(line string) string) error {
	t.Helper()
	master, slave := openPty(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	timeout := time.AfterFunc(redistest.Patience, func() { _ = cmd.Process.Kill() }) // all processes of the session then get SIGHUP
	defer timeout.Stop()
	for r := bufio.NewReader(master); ; {
		line, err := r.ReadString('\n')
		t.Logf("%q", line)
		if typed := answer(line); typed != "" && err == nil {
			_, err = master.WriteString(typed)
		}
		if err != nil { // all writers have ended
			return cmd.Wait()
		}
	}
}

// shell runs a shell script on a terminal, with dlock as "$0 $1". It types "begin" when the script
// prints "start" from the foreground, and the result of answer for other lines. It returns the output.
func shell(t *testing.T, dlock *exec.Cmd, script string, answer func(line string) string) (output string, err error) {
	t.Helper()
	sh := exec.Command("sh", "-c", script, dlock.Path, dlock.Args[1])
	sh.Env = dlock.Env
	err = runOnTerminal(t, sh, func(line string) string {
		if output += line; strings.HasPrefix(line, "start") {
			return "begin\n"
		}
		return answer(line)
	})
	return output, err
}

// TestTerminal: on a terminal, the command gets Ctrl-C once, and the typed input.
func TestTerminal(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	const script = `read a b c d group f g foreground i </proc/$$/stat; [ $group = $foreground ] || exit 6; n=0; trap 'n=$((n+1)); echo signal $n' INT; echo in; read x || read x; read x; echo "got $x after $n"`
	output := ""
	err := runOnTerminal(t, command(t, s, "name", "--", "sh", "-c", script), func(line string) string {
		output += line
		switch {
		case strings.HasPrefix(line, "in"):
			return "\x03"
		case strings.Contains(line, "signal 1"):
			return "one\ntwo\n"
		}
		return ""
	})
	if err != nil || !strings.Contains(output, "got two after 1") {
		t.Errorf("%v: %s", err, output)
	}
}

// TestSuspend: Ctrl-Z stops the command and dlock, and returns the terminal to the shell. fg continues
// the command, or ends it if the lock was lost.
func TestSuspend(t *testing.T) {
	for name, c := range map[string]struct{ ttl, first, want string }{
		"held":        {"1h", "", "got word\r\nended 5\r\n"},
		"full-screen": {"1h", "trap 'kill -STOP $$' TSTP; ", "got word\r\nended 5\r\n"}, // such programs restore the screen first
		"lost":        {"3s", "", "ended 76\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			dlock := command(t, s, "-ttl", c.ttl, "name", "--", "sh", "-c", c.first+`read x; echo in; read x || read x; echo "got $x"; exit 5`)
			output, err := shell(t, dlock, `set -m; echo start; "$0" "$1"; echo stopped $?; read x; fg; echo ended $?`, func(line string) string {
				switch {
				case strings.HasPrefix(line, "in"):
					return "\x1a"
				case strings.Contains(line, "stopped 1"):
					if name == "lost" {
						defer lock(t, s, "name").Unlock()
					}
					return "go\nword\n"
				}
				return ""
			})
			if err != nil || !strings.Contains(output, c.want) || name == "lost" && strings.Contains(output, "got word") {
				t.Errorf("%v: the output is\n%s", err, output)
			}
		})
	}
}

// TestTerminalReturns: the shell reads from the terminal after dlock, which leaves it to the shell.
func TestTerminalReturns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(file, []byte{0}, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		command       []string
		script, ended string
	}{
		"a command that cannot be executed":           {[]string{file}, `"$0" "$1"; echo ended $?`, "ended 126"},
		"a stopped dlock continues in the background": {[]string{"sh", "-c", `read x; kill -STOP $PPID; exit 5`}, `set -m; echo start; "$0" "$1"; bg; wait %1; echo ended $?`, "ended 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			dlock := command(t, s, slices.Concat([]string{"-ttl", "1h", "name", "--"}, c.command)...)
			output, _ := shell(t, dlock, c.script+`; read y; echo "got $y"`, func(line string) string {
				if strings.HasPrefix(line, c.ended) {
					return "word\n"
				}
				return ""
			})
			if !strings.Contains(output, "\ngot word") {
				t.Errorf("the output is\n%s", output)
			}
		})
	}
}

// TestTerminalModes: dlock restores the terminal modes after a command that is killed, but not after one that exits.
func TestTerminalModes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for end, want := range map[string]string{"kill -9 $$": " icanon", "exit 0": "-icanon"} {
		dlock := command(t, s, "name", "--", "sh", "-c", "read x; stty -icanon; "+end)
		output, err := shell(t, dlock, `echo start; "$0" "$1"; stty -a`, func(string) string { return "" })
		if err != nil || !strings.Contains(strings.ReplaceAll(output, "\n", "\n "), want) {
			t.Errorf("after %s, the terminal is not%s: %v", end, want, err)
		}
	}
}
