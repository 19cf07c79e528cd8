package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A board shows how far the jobs are.
type board struct {
	cfg   config
	out   io.Writer
	start time.Time
	done  int       // jobs, when last shown
	last  time.Time // that there were more of them than before
	told  time.Time // that the wait is over; zero if none began

	victim int // the worker that is killed; 0 before
	killed time.Time
}

func newBoard(cfg config, out io.Writer) *board {
	now := time.Now()
	fmt.Fprintln(out, legend)
	return &board{cfg: cfg, out: out, start: now, last: now}
}

const (
	frameTime = 250 * time.Millisecond
	barWidth  = 40
)

const legend = "# is a job that is done, - one at work, x one whose worker was killed, . one that waits"

// show draws a line. If Redis could not be asked, that is no reason to give up: the
// wait, too, goes on until it is back.
func (b *board) show(c count, err error) {
	if err != nil {
		b.say("how far it is cannot be told: %v", err)
		return
	}
	if c.done > b.done {
		b.done, b.last = c.done, time.Now()
	}
	working := b.cfg.Jobs - c.done - c.waiting
	dead := 0
	if b.victim > 0 {
		dead = min(c.hands[b.victim], working)
	}
	var bar strings.Builder
	upTo := 0
	for _, part := range []struct {
		jobs int
		sign string
	}{{c.done, "#"}, {working - dead, "-"}, {dead, "x"}, {c.waiting, "."}} {
		upTo += part.jobs
		bar.WriteString(strings.Repeat(part.sign, barWidth*upTo/b.cfg.Jobs-bar.Len()))
	}
	var hands strings.Builder
	for n := 1; n <= b.cfg.Workers; n++ {
		fmt.Fprintf(&hands, "  %d:%d", n, c.hands[n])
	}
	b.say("%s  %*d of %d done, in hand%s", bar.String(), len(fmt.Sprint(b.cfg.Jobs)), c.done, b.cfg.Jobs, hands.String())
}

// victimOf returns the worker that is to be killed now, 0 for none. It is the one
// that has most in hand, a third of the way in.
func (b *board) victimOf(c count) int {
	if !b.cfg.Kill || b.victim > 0 || 3*c.done < b.cfg.Jobs {
		return 0
	}
	if b.victim, b.killed = c.busiest(), time.Now(); b.victim > 0 {
		b.say("worker %d is killed: kill -9", b.victim)
	}
	return b.victim
}

// over notes what became of the wait.
func (b *board) over(err error) error {
	b.told = time.Now()
	if err == nil {
		b.say("the wait is over: all is done")
	} else {
		b.say("the wait is over: %v", err)
	}
	return err
}

func (b *board) say(format string, args ...any) {
	fmt.Fprintf(b.out, "%5.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}
