package lease

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	walkScenario = flag.String("walk.scenario", "", "walk these scenarios only: all whose name begins so")
	walkEnds     = flag.Int("walk.k", 0, "run once only, end ctx at this event, and print the trace")
	walkWhen     = flag.String("walk.when", "before", "before the event of -walk.k, at it, or after it")
	walkFault    = flag.String("walk.fault", "", "run once only, with this fault, and print the trace")
	walkAt       = flag.Int("walk.j", 0, "the event that the fault of -walk.fault befalls")
	walkPairs    = flag.Int("walk.pairs", 12, "end ctx at each event that follows a fault, in scenarios of at most so many events")
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
	run   func(w *walk)
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
		s += fmt.Sprintf(" -walk.k %d -walk.when %s", p.k, p.when)
	}
	if p.j > 0 {
		s += fmt.Sprintf(" -walk.fault %q -walk.j %d", p.fault, p.j)
	}
	return s
}

var faultNames = [...]string{"none", "lost request", "lost reply", "late", "twice", "cut", "slow", "tardy", "dropped", "doubled", "delayed"}

func (f fault) String() string { return faultNames[f] }

// faultsAt returns what can happen at a point.
func faultsAt(point string) []fault {
	_, point, _ = strings.Cut(point, " ") // whose it is
	switch what, _, _ := strings.Cut(point, " "); what {
	case "send":
		return []fault{lostRequest, lostReply, late, twice, cut, slow}
	case "run":
		return []fault{cut, tardy}
	case "reply", "subscribed":
		return []fault{cut}
	case "message":
		return []fault{dropped, doubled, delayed, cut}
	}
	return nil
}

// walkAll walks the scenarios.
func walkAll(t *testing.T, all []scenario) {
	runs := 0
	for _, s := range all {
		if !strings.HasPrefix(s.name, *walkScenario) {
			continue
		}
		t.Run(s.name, func(t *testing.T) { runs += s.walk(t) })
	}
	t.Logf("%d runs", runs)
}

// walk returns how often it has run the scenario.
func (s scenario) walk(t *testing.T) (runs int) {
	if *walkEnds > 0 || *walkAt > 0 {
		f := fault(max(0, slices.Index(faultNames[:], *walkFault)))
		runWalk(t, s, plan{*walkEnds, *walkWhen, f, *walkAt}, true)
		return 1
	}
	run := func(p plan) walked {
		runs++
		return runWalk(t, s, p, false)
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
			if base.ours > *walkPairs {
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
