package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A board counts what the workers do, and shows it.
type board struct {
	tally
	cfg   config
	out   io.Writer
	start time.Time
	shown int // jobs begun when the last line was shown

	// Of the worker that is killed while it holds permits.
	wanted bool // one is to be killed
	victim int
	killed time.Time
	left   int           // permits that it had in use
	others int           // permits that the others had in use at once, until
	back   time.Duration // after which they had those of the victim too
}

func newBoard(cfg config, out io.Writer) *board {
	return &board{tally: newTally(cfg.Workers), cfg: cfg, out: out, start: time.Now()}
}

const frameTime = 500 * time.Millisecond

// watch counts and shows the events until there are no more. It calls stop when
// it has seen enough.
func (b *board) watch(f *fleet, stop func()) {
	fmt.Fprintln(b.out, "# is a job at work, . a permit that waits for its turn")
	frame := time.NewTicker(frameTime)
	defer frame.Stop()
	kill := time.NewTimer(b.cfg.Length / 3)
	defer kill.Stop()
	over := false
	end := time.NewTimer(b.cfg.Length)
	defer end.Stop()
	for {
		select {
		case e, more := <-f.events:
			if !more {
				return
			}
			b.see(e)
			// The others must be able to use all permits, or nobody would see these come back.
			if b.wanted && e.deed == begins && int64((b.alive-1)*b.cfg.Each) >= b.cfg.Permits {
				b.wanted, b.victim, b.killed = false, e.worker, time.Now()
				f.kill(e.worker)
			}
		case <-kill.C:
			b.wanted = true
		case <-frame.C:
			b.show()
		case <-end.C:
			over = true
		}
		if over && b.back > 0 {
			stop()
		}
	}
}

func (b *board) see(e event) {
	if e.deed == died && e.worker == b.victim {
		if b.left = b.held(e.worker); b.left == 0 { // it gave back what it had just before
			b.wanted = true
		} else {
			b.say("worker %d was killed: kill -9, with %d permits in use", e.worker, b.left)
		}
	}
	b.count(e)
	switch used := len(b.holds); {
	case b.left == 0 || b.back > 0: // nobody was killed, or that is over
	case used > int(b.cfg.Permits)-b.left:
		b.back = time.Since(b.killed)
		b.say("the permits of worker %d are back, after %.1f s", b.victim, b.back.Seconds())
	default:
		// This can be one less than the victim left them: it also had a place in the
		// queue, which for a while may be given the permit that it waited for.
		b.others = max(b.others, used)
	}
}

// show draws a line.
func (b *board) show() {
	var each strings.Builder
	for n := 1; n <= b.cfg.Workers; n++ {
		fmt.Fprintf(&each, "  %d:%d", n, b.held(n))
	}
	bar := strings.Repeat("#", len(b.jobs)) + strings.Repeat(".", len(b.holds)-len(b.jobs))
	b.say("%-*s  %d of %d in use, by worker%s  %4.0f jobs/s", int(b.cfg.Permits), bar, len(b.holds), b.cfg.Permits,
		each.String(), float64(b.begun-b.shown)/frameTime.Seconds())
	b.shown = b.begun
}

func (b *board) say(format string, args ...any) {
	fmt.Fprintf(b.out, "%5.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

// summary is shown when all is over. It is an error if there were too many jobs.
func (b *board) summary() error {
	took := time.Since(b.start).Seconds()
	fmt.Fprintf(b.out, "\n%d jobs begun in %.1f s, %.1f a second, of %v allowed\n", b.begun, took, float64(b.begun)/took, b.cfg.Rate)
	fmt.Fprintf(b.out, "%d jobs done, %d permits lost\n", b.done, len(b.lost))
	fmt.Fprintf(b.out, "at most %d permits in use at once, of %d\n", b.most(), b.cfg.Permits)
	switch {
	case b.left == 0:
		fmt.Fprintln(b.out, "no worker was killed")
	case b.back == 0:
		fmt.Fprintf(b.out, "worker %d was killed with %d permits in use, which did not come back before the end\n", b.victim, b.left)
	default:
		fmt.Fprintf(b.out, "worker %d was killed with %d permits in use: the others had at most %d, until these came back after %.1f s, with a TTL of %v\n",
			b.victim, b.left, b.others, b.back.Seconds(), b.cfg.TTL)
	}
	if most := b.most(); most > int(b.cfg.Permits) {
		return fmt.Errorf("the semaphore did not hold: %d permits were in use at once, of %d", most, b.cfg.Permits)
	}
	// At first one may begin at once, and from then on as many as the rate allows.
	if allowed := 1 + b.cfg.Rate*took; float64(b.begun) > allowed {
		return fmt.Errorf("the limiter did not hold: %d jobs began, of %.0f allowed", b.begun, allowed)
	}
	return nil
}
