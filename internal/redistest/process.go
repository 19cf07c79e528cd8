package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// A Child is a process that is reaped as soon as it ends. On Linux it dies with its parent.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child was reaped
	err  error         // of cmd.Wait; set before done is closed
}

// StartChild starts cmd. The kernel sends the death signal when the starting *thread* ends, so one
// goroutine keeps its thread until the child ends.
func StartChild(cmd *exec.Cmd) (*Child, error) {
	p := &Child{cmd: cmd, done: make(chan struct{})}
	cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid returns the process id.
func (p *Child) Pid() int { return p.cmd.Process.Pid }

// Wait returns when the process has ended, with the error of [exec.Cmd.Wait].
func (p *Child) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the process at once and waits for its end.
func (p *Child) Kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended already
	<-p.done
}

// Pause stops the process with SIGSTOP and returns when all its threads have stopped.
func (p *Child) Pause() error {
	if err := p.signal(signalPause); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); !stopped(p.Pid()); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("redistest: process %d does not stop", p.Pid())
		}
	}
	return nil
}

// Continue resumes the process after Pause.
func (p *Child) Continue() error { return p.signal(signalContinue) }

func (p *Child) signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redistest: %v sent to process %d, which has ended", sig, p.Pid())
	}
	return err
}
