package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A ledger is what has become of the jobs, when no worker is left.
//
// That a worker was killed may have been between any two of its steps. Its task is
// abandoned with a job in hand that has no result: dropped. Or it has joined the task
// and not yet taken a job, which then waits, though nobody comes any more. Or it has
// written the result and not yet called Done; or has called it and not yet cleared
// its hand, and its task was done. These last two look the same from here: unsaid.
type ledger struct {
	finished int        // have a result
	dropped  [][]string // taken by each worker, and without a result
	waiting  []string   // taken by nobody
	unsaid   []string   // with a result, but still in a hand
}

// abandoned is how many jobs have no result and will have none.
func (l ledger) abandoned() int {
	n := len(l.waiting)
	for _, jobs := range l.dropped {
		n += len(jobs)
	}
	return n
}

// agrees returns an error if this is not what so many abandoned tasks leave.
func (l ledger) agrees(jobs, tasks int) error {
	least := l.abandoned()
	most := least + len(l.unsaid)
	switch {
	case l.finished+least != jobs:
		return fmt.Errorf("%d jobs finished and %d abandoned are not all %d", l.finished, least, jobs)
	case tasks < least || tasks > most:
		return fmt.Errorf("the wait group told of %d tasks abandoned, the jobs say %d to %d", tasks, least, most)
	}
	return nil
}

// summary is shown last, with what those who waited were told. It is an error if
// they were told of anything else than the jobs say.
func (b *board) summary(l ledger, told error) error {
	tasks := 0
	if lost, ok := errors.AsType[*waitgroup.AbandonedError](told); ok {
		tasks = lost.Tasks
	} else if told != nil { // the wait ended before the round
		dropped := l.abandoned() - len(l.waiting)
		fmt.Fprintf(b.out, "\n%d jobs: %d finished, %d abandoned, %d not begun\n", b.cfg.Jobs, l.finished, dropped, len(l.waiting))
		b.list(l)
		if n := b.cfg.Jobs - l.finished - l.abandoned(); n > 0 {
			fmt.Fprintf(b.out, "Redis knows nothing of %d\n", n)
		}
		return told
	}
	fmt.Fprintf(b.out, "\n%d jobs in %.1f s: %d finished, %d abandoned\n",
		b.cfg.Jobs, b.told.Sub(b.start).Seconds(), l.finished, l.abandoned())
	b.list(l)
	if len(l.waiting) > 0 {
		fmt.Fprintf(b.out, "nobody took %s: who had joined the task died first, or lost it\n", these(l.waiting))
	}
	if n := tasks - l.abandoned(); n > 0 {
		fmt.Fprintf(b.out, "%d finished, of %s, and the task was lost before Done\n", n, these(l.unsaid))
	}
	fmt.Fprintf(b.out, "those who waited were told of %d abandoned", tasks)
	switch {
	case !b.cfg.Kill:
		fmt.Fprintln(b.out, "; no worker was killed")
	case b.victim == 0:
		fmt.Fprintln(b.out, "; no worker was killed, as all was over too soon")
	default:
		fmt.Fprintf(b.out, ": %.1f s after the kill, with a TTL of %v, and %.1f s after the last result\n",
			b.told.Sub(b.killed).Seconds(), b.cfg.TTL, b.told.Sub(b.last).Seconds())
	}
	return l.agrees(b.cfg.Jobs, tasks)
}

// list says who abandoned what.
func (b *board) list(l ledger) {
	for n, jobs := range l.dropped {
		switch {
		case len(jobs) == 0:
		case n == b.victim:
			fmt.Fprintf(b.out, "worker %d, which was killed, had in hand %s\n", n, these(jobs))
		default:
			fmt.Fprintf(b.out, "worker %d lost the task of %s\n", n, these(jobs))
		}
	}
}

// these names jobs.
func these(jobs []string) string {
	if len(jobs) == 1 {
		return "job " + jobs[0]
	}
	return "jobs " + strings.Join(jobs, ", ")
}
