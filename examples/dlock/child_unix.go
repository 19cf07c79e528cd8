//go:build unix

package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// forwarded has the signals that dlock passes to the command, or that end the wait for the lock.
// The terminal sends its signals only to the foreground group, which is usually the command's.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// terminates reports whether a signal asks a process to end.
func terminates(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

// A child is the running command, in a process group of its own.
type child struct {
	pid     int
	signals chan os.Signal // receives the signals to dlock
	tty     *terminal
	killed  bool                // ended by a signal; set before ended
	ended   chan int            // receives the exit status
	stopped chan syscall.Signal // receives the signal that has stopped the command
}

// startChild starts the command. Linux sends the parent-death signal when the thread ends that
// started the child, so one goroutine stays locked to that thread.
func startChild(path string, argv, env []string, signals chan os.Signal) (*child, error) {
	c := &child{signals: signals, tty: openTerminal(), ended: make(chan int, 1), stopped: make(chan syscall.Signal, 1)}
	attr := &syscall.SysProcAttr{Setpgid: true}
	foreground := c.tty.wantsForeground()
	if foreground { // before it starts, because it may read from the terminal at once
		c.tty.ignoreTTOU()
		attr.Foreground, attr.Ctty = true, c.tty.fd()
	}
	dieWithParent(attr)
	c.catchStop()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: attr})
		if err == nil {
			c.pid = p.Pid
		}
		started <- err
		if err == nil {
			c.await()
			_ = p.Release() // the process was reaped
		}
	}()
	if err := <-started; err != nil {
		if foreground { // the failed child may have taken the terminal
			c.tty.give(ownGroup())
		}
		c.cleanUp()
		return nil, err
	}
	if foreground {
		c.tty.given = c.pid
	}
	return c, nil
}

// catchStop catches the SIGTSTP of Ctrl-Z, so that dlock can stop the child first. dlock must not
// stop while the child runs.
func (c *child) catchStop() {
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(c.signals, syscall.SIGTSTP)
	}
}

// reapsOrphans reports whether orphaned processes become children of this one. It must then wait
// for them too, or they remain as zombies.
var reapsOrphans = os.Getpid() == 1

// await reports each stop of the command, and its end.
func (c *child) await() {
	of := c.pid
	if reapsOrphans {
		of = -1
	}
	for {
		var ws syscall.WaitStatus
		switch pid, err := syscall.Wait4(of, &ws, syscall.WUNTRACED, nil); {
		case err == syscall.EINTR:
		case err != nil:
			c.ended <- exitCannotRun
			return
		case pid != c.pid: // an orphan was reaped
		case ws.Stopped():
			select {
			case c.stopped <- ws.StopSignal():
			default: // an earlier stop is not handled yet
			}
		case ws.Signaled():
			c.killed = true
			c.ended <- statusOf(ws.Signal())
			return
		default:
			c.ended <- ws.ExitStatus()
			return
		}
	}
}

// pass forwards a signal to the group, as the terminal would. SIGUSR1 and SIGUSR2 go to the command
// only, because they would kill processes that do not handle them.
func (c *child) pass(s os.Signal) {
	if s == syscall.SIGUSR1 || s == syscall.SIGUSR2 {
		_ = syscall.Kill(c.pid, s.(syscall.Signal)) // fails if the command has ended
		return
	}
	c.signal(s.(syscall.Signal))
	if terminates(s) { // a stopped process must continue to handle it
		c.signal(syscall.SIGCONT)
	}
}

func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(-c.pid, s) } // fails if the command has ended

// terminate sends SIGTERM to the group, and SIGCONT to its stopped processes.
func (c *child) terminate() {
	c.signal(syscall.SIGTERM)
	c.signal(syscall.SIGCONT)
}

func (c *child) kill() { c.signal(syscall.SIGKILL) }

// suspend handles a child that was stopped. If the child wants to use the terminal, suspend gives it
// the terminal. Otherwise dlock stops too, so that the shell continues. (Some programs restore the
// screen first, and then stop themselves with SIGSTOP.) The child continues only if held reports
// that the lock is still held.
func (c *child) suspend(by syscall.Signal, held func() bool) {
	wantsTerminal := by == syscall.SIGTTIN || by == syscall.SIGTTOU
	if !wantsTerminal && by != syscall.SIGTSTP && !c.tty.isForeground(c.pid) {
		return // stopped on purpose, by kill -STOP: the lock is kept
	}
	if !wantsTerminal || !(c.tty.isForeground(c.pid) || c.tty.inForeground()) || !c.tty.give(c.pid) {
		had := c.tty.take()
		c.stopJob()
		if !held() {
			return // the stopped child is about to be killed
		}
		if (had || wantsTerminal) && c.tty.inForeground() {
			c.tty.give(c.pid)
		}
	}
	c.signal(syscall.SIGCONT)
}

// stopJob stops all processes of dlock's job, as Ctrl-Z does, and returns when dlock continues.
// If no process could continue the job, the system ignores the signal without an error.
func (c *child) stopJob() {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	// SIGTSTP stops the other processes. It must not be forwarded to the child, and it no longer
	// stops a Go program that has caught it: SIGTTIN, which dlock never catches, stops dlock.
	signal.Ignore(syscall.SIGTSTP)
	defer signal.Notify(c.signals, syscall.SIGTSTP)
	_ = syscall.Kill(0, syscall.SIGTSTP) // cannot fail for the own group
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGTTIN)
	select {
	case <-resumed:
	case <-time.After(100 * time.Millisecond):
	}
}

// cleanUp must be called when the child has ended, or could not be started. It restores the terminal
// modes after a child that was killed, which may have left the terminal without echo. The shell does
// not restore them, because dlock exits normally.
func (c *child) cleanUp() {
	signal.Reset(syscall.SIGTSTP)
	if c.tty.take() && c.killed {
		c.tty.restore()
	}
	c.tty.close()
}
