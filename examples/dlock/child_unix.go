//go:build unix

package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// passed are the signals that are for the command, or that end the wait for the
// lock. Those of the terminal come here only if it is not in the foreground: the
// terminal sends them to one group, and the command has its own.
var passed = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// ends reports whether a signal ends a process by custom.
func ends(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGHUP || s == syscall.SIGQUIT
}

// A child is the command, in a process group of its own.
type child struct {
	pid     int
	signals chan os.Signal // where those to dlock go
	tty     *terminal
	killed  bool                // by a signal; set before ended
	ended   chan int            // its status
	stopped chan syscall.Signal // what it has been stopped by
}

// startChild starts the command. Linux sends the signal of a parent's death when the
// thread ends that has started the child, so one goroutine keeps its thread for it.
func startChild(path string, argv, env []string, signals chan os.Signal) (*child, error) {
	c := &child{signals: signals, tty: openTerminal(), ended: make(chan int, 1), stopped: make(chan syscall.Signal, 1)}
	attr := &syscall.SysProcAttr{Setpgid: true}
	wanted := c.tty.wanted()
	if wanted { // before it begins: it might ask for the terminal at once
		c.tty.unstoppable()
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
			_ = p.Release() // it is gone
		}
	}()
	if err := <-started; err != nil {
		if wanted { // it may have come that far
			c.tty.give(ownGroup())
		}
		c.over()
		return nil, err
	}
	if wanted {
		c.tty.given = c.pid
	}
	return c, nil
}

// catchStop makes Ctrl-Z stop the child first, if it comes here: dlock must not stand still
// while the child runs.
func (c *child) catchStop() {
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(c.signals, syscall.SIGTSTP)
	}
}

// adopts is whether processes that have lost their parent become children of this one: it
// has to wait for them too, or they stay as zombies.
var adopts = os.Getpid() == 1

// await reports each stop, and the end.
func (c *child) await() {
	of := c.pid
	if adopts {
		of = -1
	}
	for {
		var ws syscall.WaitStatus
		switch pid, err := syscall.Wait4(of, &ws, syscall.WUNTRACED, nil); {
		case err == syscall.EINTR:
		case err != nil:
			c.ended <- exitCannotRun
			return
		case pid != c.pid: // adopted, and gone now
		case ws.Stopped():
			select {
			case c.stopped <- ws.StopSignal():
			default: // one that has not been looked at yet says as much
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

// pass sends a signal on: to the group, as the terminal would, or only to the command, if other
// processes of the group may not understand it.
func (c *child) pass(s os.Signal) {
	if s == syscall.SIGUSR1 || s == syscall.SIGUSR2 {
		_ = syscall.Kill(c.pid, s.(syscall.Signal)) // it may have ended
		return
	}
	c.signal(s.(syscall.Signal))
	if ends(s) { // also if it is stopped
		c.signal(syscall.SIGCONT)
	}
}

func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(-c.pid, s) } // it may have ended

// terminate asks the group to end, also those in it that are stopped.
func (c *child) terminate() {
	c.signal(syscall.SIGTERM)
	c.signal(syscall.SIGCONT)
}

func (c *child) kill() { c.signal(syscall.SIGKILL) }

// suspend follows a child that the terminal has stopped: either it is given the terminal, for
// which it has asked, or dlock stops too, so that the shell takes over. (Some clear the screen
// first, and then stop themselves by SIGSTOP.) The child goes on only if held says that the
// lock is still there.
func (c *child) suspend(by syscall.Signal, held func() bool) {
	asks := by == syscall.SIGTTIN || by == syscall.SIGTTOU
	if !asks && by != syscall.SIGTSTP && !c.tty.has(c.pid) {
		return // somebody wants it to stand still, and not to lose the lock
	}
	if !asks || !(c.tty.has(c.pid) || c.tty.ours()) || !c.tty.give(c.pid) {
		had := c.tty.take()
		c.stopJob()
		if !held() {
			return // it is about to be killed as it stands
		}
		if (had || asks) && c.tty.ours() {
			c.tty.give(c.pid)
		}
	}
	c.signal(syscall.SIGCONT)
}

// stopJob stops dlock with all of its job, as Ctrl-Z does, and returns when it goes on.
// If no process could continue it, the system does not stop it, without an error.
func (c *child) stopJob() {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	// The signal for the others is not to come back to the child, and once caught it does
	// not stop a Go program any more: there it takes one that has never been.
	signal.Ignore(syscall.SIGTSTP)
	defer signal.Notify(c.signals, syscall.SIGTSTP)
	_ = syscall.Kill(0, syscall.SIGTSTP) // our own group: it is there
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGTTIN)
	select {
	case <-resumed:
	case <-time.After(100 * time.Millisecond):
	}
}

// over must be called when the child has ended, or could not be started. A child that a signal has
// ended may have left the terminal without echo. The shell does not repair that, because dlock exits
// normally.
func (c *child) over() {
	signal.Reset(syscall.SIGTSTP)
	if c.tty.take() && c.killed {
		c.tty.restore()
	}
	c.tty.close()
}
