package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

type state string

const (
	resting state = "rests"
	waiting state = "waits"
	holding state = "holds"
	gaveUp  state = "gave up"
	lost    state = "lost"
	stopped state = "stopped"
)

// An event is a change of a worker's state, sent to the board.
type event struct {
	at     time.Time
	worker int
	state  state
	after  time.Duration // time in the previous state
	err    error         // error of the diary or of Unlock

	// Set when state is holding.
	fence   int64
	overlap bool // another worker of this process held the lock
	handover
}

// A board shows the events, as lines or on a redrawn screen.
type board struct {
	tally
	where string
	until time.Time // zero means until Ctrl-C
	out   io.Writer
	live  bool
	pid   int

	// Used on a redrawn screen.
	rows   []event // the last event of each worker
	recent []string
	height int // of the text on the screen
}

const (
	maxRows   = 10 // to fit on a screen
	maxRecent = 6
	frameTime = 50 * time.Millisecond
	clock     = "15:04:05.000"
)

func newBoard(cfg config, where string, out io.Writer) *board {
	b := &board{out: out, live: cfg.live, pid: os.Getpid(), rows: make([]event, cfg.workers)}
	b.tally = tally{start: time.Now(), holds: make([]int, cfg.workers)}
	b.where = fmt.Sprintf("lock %q on %s, process %d", cfg.key, where, b.pid)
	if cfg.length > 0 {
		b.until = b.start.Add(cfg.length)
	}
	for i := range b.rows {
		b.rows[i].state = resting
	}
	return b
}

// watch shows the events until the channel is closed.
func (b *board) watch(events <-chan event) {
	if !b.live {
		fmt.Fprintln(b.out, b.where)
		for e := range events {
			b.count(e)
			fmt.Fprintln(b.out, b.line(e))
		}
		return
	}
	fmt.Fprint(b.out, hideCursor)
	defer fmt.Fprint(b.out, showCursor)
	frame := time.NewTicker(frameTime)
	defer frame.Stop()
	for {
		select {
		case e, more := <-events:
			if !more {
				b.draw()
				return
			}
			b.count(e)
			b.place(e)
		case <-frame.C:
			b.draw()
		}
	}
}

// line formats an event as a line.
func (b *board) line(e event) string {
	text := fmt.Sprintf("%s  worker %d  %-7s  ", e.at.Format(clock), e.worker, e.state)
	switch {
	case e.state == holding:
		text += fmt.Sprintf("fence %d  %s", e.fence, b.describe(e))
	case e.err != nil:
		text += oneLine(e.err)
	case e.state == gaveUp:
		text += "waited " + ms(e.after)
	case e.after > 0:
		text += "held " + ms(e.after)
	}
	return strings.TrimRight(text, " ")
}

// describe describes how a worker acquired the lock.
func (b *board) describe(e event) string {
	from := fmt.Sprintf("worker %d", e.from.n)
	if e.from.pid != b.pid {
		from += fmt.Sprintf(" of process %d", e.from.pid)
	}
	switch {
	case e.err != nil:
		return oneLine(e.err)
	case e.died:
		return "taken over, " + from + " did not unlock"
	case e.waited:
		return "handed over by " + from + " in " + ms(e.took)
	default:
		return "was free, acquired after " + ms(e.after)
	}
}

// place adds an event to the screen.
func (b *board) place(e event) {
	b.rows[e.worker-1] = e
	text := b.describe(e)
	switch {
	case e.state == lost:
		text = "lost the lock after " + ms(e.after)
	case e.state != holding && e.err == nil:
		return
	}
	b.recent = append(b.recent, fmt.Sprintf("%s  worker %d  %s", e.at.Format(clock), e.worker, text))
	b.recent = b.recent[max(0, len(b.recent)-maxRecent):]
}

// VT100 control codes.
const (
	hideCursor = "\x1b[?25l\x1b[?7l" // also truncates long lines, so that each uses one row
	showCursor = "\x1b[?25h\x1b[?7h"
	eraseLine  = "\x1b[K"
	dim        = "\x1b[2m"
	bold       = "\x1b[1m"
	normal     = "\x1b[0m"
)

var color = map[state]string{
	holding: "\x1b[1;32m", waiting: "\x1b[33m", resting: dim, stopped: dim, gaveUp: "\x1b[35m", lost: "\x1b[1;31m",
}

// draw redraws the screen in place.
func (b *board) draw() {
	now := time.Now()
	end := "ends with Ctrl-C"
	if !b.until.IsZero() {
		end += fmt.Sprintf(", or in %.0f s", max(0, b.until.Sub(now)).Seconds())
	}
	lines := []string{
		bold + b.where + normal,
		dim + end + normal,
		"",
		dim + fmt.Sprintf("%8s  %-9s %20s %12s %7s", "worker", "", "fence", "waited", "holds") + normal,
	}
	for i, e := range b.rows {
		if i == maxRows {
			lines = append(lines, fmt.Sprintf("%8s  and %d more", "", len(b.rows)-maxRows))
			break
		}
		fence, waited := "", ""
		switch e.state {
		case holding:
			fence, waited = fmt.Sprint(e.fence), ms(e.after)
		case waiting:
			waited = ms(now.Sub(e.at))
		case gaveUp:
			waited = ms(e.after)
		}
		lines = append(lines, fmt.Sprintf("%8d  %s%-9s %20s %12s%s %7d", i+1, color[e.state], e.state, fence, waited, normal, b.holds[i]))
	}
	lines = append(append(lines, ""), b.recent...)

	var s strings.Builder
	if b.height > 0 {
		fmt.Fprintf(&s, "\x1b[%dA", b.height)
	}
	for _, line := range lines {
		s.WriteString("\r" + line + eraseLine + "\n")
	}
	b.height = len(lines)
	_, _ = io.WriteString(b.out, s.String())
}

// ms formats d in milliseconds.
func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", ", ") }

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
