package lease

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	sweepScenario = flag.String("sweep.scenario", "", "walk these scenarios only: all whose name begins so")
	sweepEnds     = flag.Int("sweep.k", 0, "run once only, end ctx at this event, and print the trace")
	sweepWhen     = flag.String("sweep.when", "before", "before the event of -sweep.k, at it, or after it")
	sweepFault    = flag.String("sweep.fault", "", "run once only, with this fault, and print the trace")
	sweepAt       = flag.Int("sweep.j", 0, "the event that the fault of -sweep.fault befalls")
	sweepPairs    = flag.Int("sweep.pairs", 12, "end ctx at each event that follows a fault, in scenarios of at most so many events")
)

// A scenario is one use of a primitive, with all that others do meanwhile. What
// happens where the engine meets Redis is numbered: a request is about to be
// sent, has been executed, its reply or its failure is about to arrive, a message
// is, a subscription is about to be acknowledged. The clock of the engine shows
// there, too: as the sending of what it renews and polls for.
//
// A walk runs the scenario once to count these events, and then anew for each of
// them: ctx ends just before it, at the same time, and just after it; and each
// fault befalls it that can; and then, ctx ends at each event of what that led to.
type scenario struct {
	name  string
	least int // events that it has: with fewer the walk would not see what it is for
	run   func(w *sweep)
}

// plan is what happens in a run that would not by itself.
type plan struct {
	k     int    // ctx ends at this event, or never for 0
	when  string // just before it, at the same time, or just after it
	fault fault  // befalls
	j     int    // this event, or none for 0
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

// faultsAt returns what can happen at a point.
func faultsAt(point string) []fault {
	_, point, _ = strings.Cut(point, " ") // whose it is
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

// sweepAll walks the scenarios.
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

// sweep returns how often it has run the scenario.
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
		t.Fatalf("%d events, want %d at least: %q", base.ours, s.least, base.points)
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
			if !got.hit { // two events of the same instant have changed places
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
	t.Logf("%d events, %d faults, and %d times one and then the end of ctx", base.ours, faults, pairs)
	if missed := 2 * faults; missed < len(base.points) {
		t.Errorf("only %d faults happened, at %d events", faults, len(base.points))
	}
	return runs
}
