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
}

// Spawn starts the worker with the name, and with further environment variables as "KEY=value". It
// is killed when the test ends.
func Spawn(tb testing.TB, name string, env ...string) *Worker {
	tb.Helper()
	exe, err := os.Executable()
	must(err)
	cmd := exec.Command(exe, "-test.run=^$")
	cmd.Env = append(append(os.Environ(), env...), workerEnv+"="+name)
	stdin, err := cmd.StdinPipe()
	must(err)
	// Not the pipes of exec: it closes them before the last line is read.
	out, outEnd, err := os.Pipe()
	must(err)
	errs, errsEnd, err := os.Pipe()
	must(err)
	cmd.Stdout, cmd.Stderr = outEnd, errsEnd
	p, err := StartChild(cmd)
	if err != nil {
		tb.Fatalf("redistest: worker %s: %v", name, err)
	}
	outEnd.Close()
	errsEnd.Close()

	w := &Worker{p, tb, stdin, make(chan string, 1024)}
	var readers sync.WaitGroup
	ended := make(chan struct{}) // closed at cleanup: the test receives no more lines
	readers.Go(func() {
		defer close(w.lines)
		eachLine(out, func(line string) {
			select {
			case w.lines <- line:
			case <-ended:
			}
		})
	})
	readers.Go(func() {
		eachLine(errs, func(line string) {
			tb.Logf("worker %s (%d): %s", name, w.Pid(), line)
			if strings.Contains(line, "WARNING: DATA RACE") {
				tb.Errorf("worker %s has a data race", name)
			}
		})
	})
	tb.Cleanup(func() {
		p.Kill()
		close(ended)
		// Children of the worker may still hold the other ends.
		out.Close()
		errs.Close()
		readers.Wait()
	})
	return w
}

func eachLine(r io.Reader, f func(string)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 10<<20)
	for lines.Scan() {
		f(lines.Text())
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
