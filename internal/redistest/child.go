package redistest

import "os/exec"

// A Child is a process that a program which is not a test has started. Like a
// [Worker] it is reaped as soon as it ends and, on Linux, dies with its parent.
type Child struct{ process *process }

// Launched starts cmd.
func Launched(cmd *exec.Cmd) (*Child, error) {
	p, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	return &Child{p}, nil
}

// Pid is the process id.
func (c *Child) Pid() int { return c.process.pid() }

// Kill ends the process at once and waits for its end.
func (c *Child) Kill() { c.process.kill() }

// Pause stops the process with SIGSTOP and returns when it stands still.
func (c *Child) Pause() error { return c.process.pause() }

// Continue undoes Pause.
func (c *Child) Continue() error { return c.process.proceed() }

// Wait returns when the process has ended, with the error of [exec.Cmd.Wait].
func (c *Child) Wait() error { return c.process.wait() }
