package redistest

import (
	"errors"
	"os/exec"
	"testing"
	"time"
)

func line(t *testing.T, w *Worker) string {
	t.Helper()
	select {
	case s := <-w.Lines():
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("the worker says nothing")
		return ""
	}
}

func TestWorker(t *testing.T) {
	w := Spawn(t, "echo", "GREETING=hello")
	if got := line(t, w); got != "ready hello" {
		t.Errorf("%q", got)
	}
	w.Send("one")
	w.Send("two")
	if a, b := line(t, w), line(t, w); a != "one" || b != "two" {
		t.Errorf("%q, %q", a, b)
	}
	w.CloseInput()
	if err := w.Wait(); err != nil {
		t.Error(err)
	}
	if _, open := <-w.Lines(); open {
		t.Error("a line after the end")
	}
}

func TestWorkerFails(t *testing.T) {
	w := Spawn(t, "echo")
	w.Send("fail")
	var exit *exec.ExitError
	if err := w.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Error(err)
	}
	if err := Spawn(t, "nobody").Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Error(err)
	}
}

func TestWorkerPause(t *testing.T) {
	w := Spawn(t, "echo")
	line(t, w)
	w.Pause()
	w.Send("late")
	select {
	case s := <-w.Lines():
		t.Errorf("a paused worker says %q", s)
	case <-time.After(20 * time.Millisecond):
	}
	w.Continue()
	if got := line(t, w); got != "late" {
		t.Errorf("%q", got)
	}
	w.Pause()
	w.Kill()
	if err := w.Wait(); err == nil {
		t.Error("a killed worker ended well")
	}
}
