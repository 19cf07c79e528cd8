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
	check(t, err)
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// A session is a shell script on a terminal, which runs dlock as "$0" "$1".
type session struct {
	command []string // of dlock
	script  string
	typed   map[string]string // what is typed after a line of output with the text
	lost    bool              // the lock is lost while dlock is stopped; otherwise its TTL is long
	want    string            // in the output
}

// run runs the session on a new terminal, and returns its output.
func (c session) run(t *testing.T) (output string, err error) {
	t.Helper()
	s := redistest.Start(t)
	ttl := "1h"
	if c.lost {
		ttl = "3s"
	}
	dlock := command(t, s, slices.Concat([]string{"-ttl", ttl, "name", "--"}, c.command)...)
	sh := exec.Command("sh", "-c", c.script, dlock.Path, dlock.Args[1])
	sh.Env = dlock.Env
	master, slave := openPty(t)
	sh.Stdin, sh.Stdout, sh.Stderr = slave, slave, slave
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	check(t, sh.Start())
	slave.Close()
	timeout := time.AfterFunc(redistest.Patience, func() { _ = sh.Process.Kill() }) // all processes of the session then get SIGHUP
	defer timeout.Stop()
	for r := bufio.NewReader(master); ; {
		line, err := r.ReadString('\n')
		output += line
		if c.lost && strings.Contains(line, "stopped") {
			defer lock(t, s, "name").Unlock()
		}
		for text, typed := range c.typed {
			if err == nil && strings.Contains(line, text) {
				_, err = master.WriteString(typed)
			}
		}
		if err != nil { // all writers have ended
			return output, sh.Wait()
		}
	}
}

// TestTerminal: the command has the terminal in the foreground. Ctrl-Z stops the command and dlock, and
// returns the terminal to the shell. fg continues the command, or ends it if the lock was lost.
func TestTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "command")
	check(t, os.WriteFile(file, []byte{0}, 0o700))
	sh := func(script string) []string { return []string{"sh", "-c", script} }
	const (
		ctrlC, ctrlZ = "\x03", "\x1a"
		suspended    = `read x; echo ready; read x || read x; echo "got $x"; exit 5`
		shell        = `set -m; echo start; "$0" "$1"; echo stopped $?; read x; fg; echo ended $?`
		modes        = `echo start; "$0" "$1"; stty -a | grep -q -- -icanon && echo raw || echo cooked`
		foreground   = `read a b c d group f g foreground i </proc/$$/stat; [ $group = $foreground ] || exit 6; `
	)
	suspend := map[string]string{"start": "begin\n", "ready": ctrlZ, "stopped": "go\nword\n"}
	begin := map[string]string{"start": "begin\n"}
	for name, c := range map[string]session{
		"the command gets Ctrl-C once, and the typed input": {
			command: sh(foreground + `n=0; trap 'n=$((n+1)); echo signal $n' INT; echo ready; read x || read x; read x; echo "got $x after $n"`),
			script:  `exec "$0" "$1"`,
			typed:   map[string]string{"ready": ctrlC, "signal 1": "one\ntwo\n"},
			want:    "got two after 1",
		},
		"Ctrl-Z": {command: sh(suspended), script: shell, typed: suspend, want: "got word\r\nended 5"},
		"Ctrl-Z of a program that first restores the screen": {
			command: sh("trap 'kill -STOP $$' TSTP; " + suspended), script: shell, typed: suspend, want: "got word\r\nended 5",
		},
		"Ctrl-Z, and the lock is lost": {command: sh(suspended), script: shell, typed: suspend, lost: true, want: "ended 76"},
		"the shell has the terminal after a command that cannot be executed": {
			command: []string{file},
			script:  `"$0" "$1"; echo ended $?; read y; echo "got $y"`,
			typed:   map[string]string{"ended 126": "word\n"},
			want:    "\ngot word",
		},
		"a stopped dlock continues in the background": {
			command: sh(`read x; kill -STOP $PPID; exit 5`),
			script:  `set -m; echo start; "$0" "$1"; bg; wait %1; echo ended $?; read y; echo "got $y"`,
			typed:   map[string]string{"start": "begin\n", "ended 5": "word\n"},
			want:    "\ngot word",
		},
		"the modes are restored after a command that is killed": {
			command: sh("read x; stty -icanon; kill -9 $$"), script: modes, typed: begin, want: "cooked",
		},
		"the modes stay after a command that exits": {command: sh("read x; stty -icanon"), script: modes, typed: begin, want: "raw"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, err := c.run(t)
			if err != nil || !strings.Contains(output, c.want) || c.lost && strings.Contains(output, "got word") {
				t.Errorf("%v: the output is\n%s", err, output)
			}
		})
	}
}
