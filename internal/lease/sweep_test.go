package lease

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	sweepScenario = flag.String("sweep.scenario", "", "run only scenarios whose names have this prefix")
	sweepEnds     = flag.Int("sweep.k", 0, "run once, end ctx at this event, and print the trace")
	sweepWhen     = flag.String("sweep.when", "before", "before, at or after the event of -sweep.k")
	sweepFault    = flag.String("sweep.fault", "", "run once with this fault, and print the trace")
	sweepAt       = flag.Int("sweep.j", 0, "the event of the fault of -sweep.fault")
	sweepPairs    = flag.Int("sweep.pairs", 12, "in scenarios of at most so many events, end ctx at each event after a fault")
)

// A scenario is one use of a primitive, with the actions of other processes. The events between
// engine and Redis are numbered. They come before a request is sent, after it was executed, and
// before its reply, its failure, a message or the acknowledgement of a subscription arrives.
//
// A sweep runs the scenario once to count its events, and then again for each event. In these runs
// ctx ends just before, at and just after the event, and each possible fault happens to it. In
// short scenarios ctx also ends at each event after each fault.
type scenario struct {
	name  string
	least int // events; with fewer the scenario would miss its purpose
	run   func(w *sweep)
}

// plan is the cancellation and the fault of a run.
type plan struct {
	k     int    // ctx ends at this event; 0 means never
	when  string // before, at or after event k
	fault fault
	j     int // the event of the fault; 0 means none
}

func (p plan) String() string {
	s := ""
	if p.k > 0 {
		s += fmt.Sprintf(" -sweep.k %d -sweep.when %s", p.k, p.when)
	}
	if p.j > 0 {
		s += fmt.Sprintf(" -sweep.fault %q -sweep.j %d", p.fault, p.j)
	}
	return s
}

var faultNames = [...]string{"none", "lost request", "lost reply", "late", "twice", "cut", "slow request", "slow reply", "lost message", "duplicated message", "delayed message"}

func (f fault) String() string { return faultNames[f] }

// faultsAt returns the faults that can happen at a point.
func faultsAt(point string) []fault {
	_, point, _ = strings.Cut(point, " ") // removes the process
	switch what, _, _ := strings.Cut(point, " "); what {
	case "send":
		return []fault{lostRequest, lostReply, late, twice, cut, slowRequest}
	case "run":
		return []fault{cut, slowReply}
	case "reply", "subscribed":
		return []fault{cut}
	case "message":
		return []fault{lostMessage, duplicatedMessage, delayedMessage, cut}
	}
	return nil
}

// sweepAll sweeps the scenarios.
func sweepAll(t *testing.T, all []scenario) {
	runs := 0
	for _, s := range all {
		if !strings.HasPrefix(s.name, *sweepScenario) {
			continue
		}
		t.Run(s.name, func(t *testing.T) { runs += s.sweep(t) })
	}
	t.Logf("%d runs", runs)
}

// sweep runs the scenario in all its variants, and returns the number of runs.
func (s scenario) sweep(t *testing.T) (runs int) {
	if *sweepEnds > 0 || *sweepAt > 0 {
		f := fault(max(0, slices.Index(faultNames[:], *sweepFault)))
		runSweep(t, s, plan{*sweepEnds, *sweepWhen, f, *sweepAt}, true)
		return 1
	}
	run := func(p plan) sweepResult {
		runs++
		return runSweep(t, s, p, false)
	}
	base := run(plan{})
	if base.ours < s.least {
		t.Fatalf("%d events, want at least %d: %q", base.ours, s.least, base.points)
	}
	for k := range base.ours {
		for _, when := range []string{"before", "at", "after"} {
			run(plan{k: k + 1, when: when})
		}
	}
	faults, pairs := 0, 0
	for j, point := range base.points {
		for _, f := range faultsAt(point) {
			p := plan{fault: f, j: j + 1}
			got := run(p)
			if !got.hit { // two events of the same instant are swapped
				continue
			}
			faults++
			if base.ours > *sweepPairs {
				continue
			}
			for p.k, p.when = p.j, "before"; p.k <= got.ours; p.k++ {
				run(p)
				pairs++
			}
		}
	}
	t.Logf("%d events, %d faults, %d times a fault and then the end of ctx", base.ours, faults, pairs)
	if missed := 2 * faults; missed < len(base.points) {
		t.Errorf("only %d faults happened, at %d events", faults, len(base.points))
	}
	return runs
}
