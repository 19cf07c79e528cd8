//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// A terminal is the controlling terminal of this process, if it has one.
type terminal struct {
	file    *os.File // nil if there is none
	restore func()   // restores the modes
	given   int      // the group that dlock has put into the foreground, or 0
}

func openTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return &terminal{}
	}
	return &terminal{file: f, restore: modes(int(f.Fd()))}
}

func (t *terminal) fd() int { return int(t.file.Fd()) }

// inForeground reports whether this process is in the terminal's foreground.
func (t *terminal) inForeground() bool { return t.isForeground(ownGroup()) }

// isForeground reports whether a group is in the foreground.
func (t *terminal) isForeground(group int) bool {
	if t.file == nil {
		return false
	}
	now, err := foreground(t.fd())
	return err == nil && now == group
}

// wantsForeground reports whether the command starts in the foreground. In a pipeline it does not,
// because another part may need the terminal.
func (t *terminal) wantsForeground() bool {
	info, err := os.Stdout.Stat()
	return t.inForeground() && interactive() && err == nil && info.Mode()&os.ModeNamedPipe == 0
}

// give puts a group into the foreground, and reports whether it succeeded.
func (t *terminal) give(group int) bool {
	t.ignoreTTOU()
	if setForeground(t.fd(), group) != nil {
		return false
	}
	t.given = group
	return true
}

// ignoreTTOU lets a background process change the foreground group.
func (t *terminal) ignoreTTOU() { signal.Ignore(syscall.SIGTTOU) }

// take undoes give, and reports whether it had to. If dlock was stopped since, the shell has taken
// the terminal, and may have given it to another job.
func (t *terminal) take() bool {
	group := t.given
	t.given = 0
	if group == 0 || !t.isForeground(group) && !t.foregroundEmpty() {
		return false
	}
	t.give(ownGroup())
	t.given = 0
	return true
}

// foregroundEmpty reports whether the foreground group has no process left.
func (t *terminal) foregroundEmpty() bool {
	now, err := foreground(t.fd())
	return err == nil && syscall.Kill(-now, 0) == syscall.ESRCH
}

func (t *terminal) close() {
	if t.file != nil {
		_ = t.file.Close() // nothing was written to it
	}
}

// interactive reports whether stdin is the controlling terminal.
func interactive() bool {
	_, err := foreground(int(os.Stdin.Fd()))
	return err == nil
}

// terminalName returns "pts/3", or "" if the system does not name the terminal.
func terminalName() string {
	if !interactive() {
		return ""
	}
	name, err := filepath.EvalSymlinks("/dev/fd/0")
	if err != nil {
		return ""
	}
	name, found := strings.CutPrefix(name, "/dev/")
	if !found || strings.HasPrefix(name, "fd/") {
		return ""
	}
	return name
}
