package redistest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// A Worker is another process of the test's own binary, running one function
// that was given to [Main]. Its lines on stderr go to the test's log; a data
// race which it reports there fails the test.
type Worker struct {
	tb      testing.TB
	process *process
	stdin   io.WriteCloser
	lines   chan string
	ended   chan struct{} // closed at cleanup: nobody takes lines any more
}

// Spawn starts the worker called name, with further environment variables as
// "KEY=value". It is killed when the test ends.
func Spawn(tb testing.TB, name string, env ...string) *Worker {
	tb.Helper()
	w, err := newWorker(tb, name, env)
	if err != nil {
		tb.Fatalf("redistest: worker %s: %v", name, err)
	}
	return w
}

func newWorker(tb testing.TB, name string, env []string) (*Worker, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(append(os.Environ(), env...), workerEnv+"="+name)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Pipes of our own, as exec closes its own before the last line is read.
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = outEnd, errsEnd
	p, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	outEnd.Close()
	errsEnd.Close()

	w := &Worker{tb: tb, process: p, stdin: stdin, lines: make(chan string, 1024), ended: make(chan struct{})}
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(w.lines)
		eachLine(out, w.deliver)
	})
	readers.Go(func() { eachLine(errs, func(line string) { w.log(name, line) }) })
	tb.Cleanup(func() {
		p.kill()
		close(w.ended)
		// What the worker itself started may still hold the other ends.
		out.Close()
		errs.Close()
		readers.Wait()
	})
	return w, nil
}

func (w *Worker) deliver(line string) {
	select {
	case w.lines <- line:
	case <-w.ended:
	}
}

func (w *Worker) log(name, line string) {
	w.tb.Logf("worker %s (%d): %s", name, w.Pid(), line)
	if strings.Contains(line, "WARNING: DATA RACE") {
		w.tb.Errorf("worker %s has a data race", name)
	}
}

func eachLine(r io.Reader, f func(string)) {
	for b := bufio.NewReader(r); ; {
		line, err := b.ReadString('\n')
		if line != "" {
			f(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

// Lines delivers what the worker writes to stdout. It is closed when the
// worker has ended. A worker whose lines nobody takes comes to wait, after some
// thousand lines, like one that writes to a full pipe.
func (w *Worker) Lines() <-chan string { return w.lines }

// Send writes a line to the worker's stdin. It fails the test if the worker
// has ended.
func (w *Worker) Send(line string) {
	w.tb.Helper()
	if _, err := fmt.Fprintln(w.stdin, line); err != nil {
		w.tb.Errorf("redistest: send %q to worker %d: %v", line, w.Pid(), err)
	}
}

// CloseInput ends the worker's stdin.
func (w *Worker) CloseInput() { _ = w.stdin.Close() } // fails only if closed before

// Pid is the worker's process id.
func (w *Worker) Pid() int { return w.process.pid() }

// Kill ends the worker at once and waits for its end.
func (w *Worker) Kill() { w.process.kill() }

// Pause stops the worker with SIGSTOP and returns when it stands still. It
// panics if the worker has ended.
func (w *Worker) Pause() { must(w.process.pause()) }

// Continue undoes Pause.
func (w *Worker) Continue() { must(w.process.proceed()) }

// Wait returns when the worker has ended: nil if its function returned, an
// [*exec.ExitError] otherwise.
func (w *Worker) Wait() error { return w.process.wait() }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
