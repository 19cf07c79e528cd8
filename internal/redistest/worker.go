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

// A Worker is another process of the test's own binary that runs one of the functions passed to
// [Main]. Its lines on stderr go to the test's log. A data race reported there fails the test.
type Worker struct {
	*Child
	tb    testing.TB
	stdin io.WriteCloser
	lines chan string
	ended chan struct{} // closed at cleanup: the test receives no more lines
}

// Spawn starts the worker with the name, and with further environment variables as "KEY=value". It
// is killed when the test ends.
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
	// Not the pipes of exec: it closes them before the last line is read.
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = outEnd, errsEnd
	p, err := StartChild(cmd)
	if err != nil {
		return nil, err
	}
	outEnd.Close()
	errsEnd.Close()

	w := &Worker{p, tb, stdin, make(chan string, 1024), make(chan struct{})}
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(w.lines)
		eachLine(out, w.deliver)
	})
	readers.Go(func() { eachLine(errs, func(line string) { w.log(name, line) }) })
	tb.Cleanup(func() {
		p.Kill()
		close(w.ended)
		// Children of the worker may still hold the other ends.
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

// Lines returns the lines of the worker's stdout. The channel is closed when the worker has ended.
// After about a thousand lines that are not received, the worker blocks.
func (w *Worker) Lines() <-chan string { return w.lines }

// Send writes a line to the worker's stdin. It fails the test if the worker has ended.
func (w *Worker) Send(line string) {
	w.tb.Helper()
	if _, err := fmt.Fprintln(w.stdin, line); err != nil {
		w.tb.Errorf("redistest: send %q to worker %d: %v", line, w.Pid(), err)
	}
}

// CloseInput ends the worker's stdin.
func (w *Worker) CloseInput() { _ = w.stdin.Close() } // fails only if closed before

// Pause is [Child.Pause]. It panics if the worker has ended.
func (w *Worker) Pause() { must(w.Child.Pause()) }

// Continue is [Child.Continue]. It panics if the worker has ended.
func (w *Worker) Continue() { must(w.Child.Continue()) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}
