// Command soak injects random faults into processes that share locks, into their servers, and
// into the network between them, and checks the guarantees. It can run the same workers, faults
// and checks on other libraries. A seed repeats the random choices.
//
// It is a module of its own, so that the other libraries do not become dependencies of baton's
// users. README.md describes the faults and the checks, and has the results of the last run.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// config has the values of the flags.
type config struct {
	system       string
	topologies   []string
	keys         []string // of the selected workloads
	faults       []fault
	duration     time.Duration
	ttl          time.Duration // 0 means a random TTL in each test run
	seed         uint64
	workers      int
	faultsPerRun int // per test run
	verbose      bool
	until        string // the rule whose violation ends the soak, for the control group
}

// peerTTL is the TTL of peers, which do not renew. It exceeds every bound, so locks that they leave behind
// are detected.
const peerTTL = 12 * time.Second

// A faultSchedule schedules the faults of a topology equally often. Faults that lose data have test runs of
// their own, because more can be checked in the other test runs.
type faultSchedule struct{ faults, left []fault }

// next returns at most n faults for a test run, which either all lose data or all do not.
func (d *faultSchedule) next(n int, random *rand.Rand) (list []fault) {
	if len(d.left) == 0 {
		first := random.IntN(2) == 0
		for _, losesData := range []bool{first, !first} {
			for _, i := range random.Perm(len(d.faults)) {
				if d.faults[i].losesData == losesData {
					d.left = append(d.left, d.faults[i])
				}
			}
		}
	}
	for len(list) < n && len(d.left) > 0 && (len(list) == 0 || list[0].losesData == d.left[0].losesData) {
		list, d.left = append(list, d.left[0]), d.left[1:]
	}
	return list
}

// soak runs one test run after another, alternating the topologies, until ctx is done. Test runs that the
// harness could not finish are reported, and only a few of them are tolerated.
func (c *config) soak(ctx context.Context) (*report, error) {
	r := &report{}
	random := rand.New(rand.NewPCG(c.seed, 0))
	ctx, cancel := context.WithTimeout(ctx, c.duration)
	defer cancel()
	var schedules []*faultSchedule
	for _, kind := range c.topologies {
		fitting := slices.DeleteFunc(slices.Clone(c.faults), func(f fault) bool { return !f.fits(kind) })
		if len(fitting) == 0 {
			return r, fmt.Errorf("no selected fault fits the topology %s", kind)
		}
		schedules = append(schedules, &faultSchedule{faults: fitting})
	}
	for i := 0; ctx.Err() == nil && !c.finished(r); i++ {
		n := i % len(schedules)
		kind, list := c.topologies[n], schedules[n].next(c.faultsPerRun, random)
		if err := inTestRun(func(h *harness) { c.run(ctx, h, kind, list, random, r) }); err != nil {
			r.failedRuns = append(r.failedRuns, fmt.Sprintf("%s: %v", kind, err))
			if len(r.failedRuns) > 2+r.runs/10 {
				return r, errors.New("too many test runs were not finished")
			}
		}
	}
	return r, nil
}

// finished reports whether the soak has reached its goal. With baton, it ends at the first violation,
// because consequences of the violation would be reported repeatedly.
func (c *config) finished(r *report) bool {
	if c.system == "baton" {
		return len(r.violations) > 0
	}
	return slices.ContainsFunc(r.violations, func(v violation) bool { return v.rule == c.until })
}
