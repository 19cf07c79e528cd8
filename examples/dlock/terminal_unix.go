//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// A terminal is the one that controls this process, if any does.
type terminal struct {
	file    *os.File // nil if none does
	restore func()   // sets its modes as they were
	given   int      // the group that we have put into the foreground, and not yet taken out of it; or 0
}

func openTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return &terminal{}
	}
	return &terminal{file: f, restore: modes(int(f.Fd()))}
}

func (t *terminal) fd() int { return int(t.file.Fd()) }

// ours reports whether this process is in the terminal's foreground.
func (t *terminal) ours() bool { return t.has(ownGroup()) }

// has reports whether a group is in the foreground.
func (t *terminal) has(group int) bool {
	if t.file == nil {
		return false
	}
	now, err := foreground(t.fd())
	return err == nil && now == group
}

// wanted reports whether the command gets the terminal at once: not in a pipeline, where another
// part may need it.
func (t *terminal) wanted() bool {
	info, err := os.Stdout.Stat()
	return t.ours() && interactive() && err == nil && info.Mode()&os.ModeNamedPipe == 0
}

// give puts a group into the foreground, and reports whether that is there now.
func (t *terminal) give(group int) bool {
	t.unstoppable()
	if setForeground(t.fd(), group) != nil {
		return false
	}
	t.given = group
	return true
}

// unstoppable is needed to set the foreground from behind it.
func (t *terminal) unstoppable() { signal.Ignore(syscall.SIGTTOU) }

// take undoes give, and reports whether there was anything to undo. If we were stopped meanwhile
// the shell has taken the terminal, and may have given it to another job.
func (t *terminal) take() bool {
	group := t.given
	t.given = 0
	if group == 0 || !t.has(group) && !t.deserted() {
		return false
	}
	t.give(ownGroup())
	t.given = 0
	return true
}

// deserted reports whether nobody is left in the foreground.
func (t *terminal) deserted() bool {
	now, err := foreground(t.fd())
	return err == nil && syscall.Kill(-now, 0) == syscall.ESRCH
}

func (t *terminal) close() {
	if t.file != nil {
		_ = t.file.Close() // nothing was written to it
	}
}

// interactive reports whether stdin is our terminal.
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
