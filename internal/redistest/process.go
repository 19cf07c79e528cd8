package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A process is a child that is reaped as soon as it ends and that, on Linux,
// dies with its parent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child was reaped
	err  error         // of cmd.Wait; set before done is closed
}

// spawn starts cmd. The kernel sends the death signal when the starting
// *thread* ends, so one goroutine keeps its thread for the child's whole life.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
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

func (p *process) pid() int { return p.cmd.Process.Pid }

// wait returns when the child has ended, with the error of [exec.Cmd.Wait].
func (p *process) wait() error {
	<-p.done
	return p.err
}

// kill ends the child at once and waits for its end.
func (p *process) kill() {
	// The one possible error is that it has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate asks the child to end, and kills it after patience.
func (p *process) terminate(patience time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Process.Signal(signalContinue) // a paused process would not hear it
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
}

// pause stops the child and returns when all its threads stand still.
func (p *process) pause() error {
	if err := p.signal(signalPause); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); !stopped(p.pid()); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			return fmt.Errorf("redistest: process %d does not stop", p.pid())
		}
	}
	return nil
}

// proceed undoes pause.
func (p *process) proceed() error { return p.signal(signalContinue) }

func (p *process) signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("redistest: %v sent to process %d, which has ended", sig, p.pid())
	}
	return err
}
