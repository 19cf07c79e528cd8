// Command soak injects random faults into processes that share locks, into their servers, and
// into the network between them, for as long as you like. Meanwhile it checks the guarantees.
// It can run the same workers, faults and checks on other libraries. A seed repeats its choices.
//
// It is a module of its own, so that the other libraries do not become dependencies of baton's
// users. README.md describes the faults and the checks, and has the last run.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// config is what the flags say.
type config struct {
	system       string
	topologies   []string
	keys         []string // of the workloads that were asked for
	faults       []fault
	duration     time.Duration
	ttl          time.Duration // 0 for another one in each epoch
	seed         uint64
	workers      int
	faultsPerRun int // of an epoch
	verbose      bool
	until        string // the rule whose violation ends the run: a control group is not asked for more
}

// peerTTL is that of peers, which do not renew: what they leave behind for a TTL is seen
// to outlast every bound.
const peerTTL = 12 * time.Second

// A faultSchedule has the faults that fit a topology, so that all come as often. Those that lose
// what Redis was told come together, in epochs of their own: there is more to check in
// the others.
type faultSchedule struct{ faults, left []fault }

// draw takes at most n faults for an epoch, which lose or which do not.
func (d *faultSchedule) draw(n int, random *rand.Rand) (list []fault) {
	if len(d.left) == 0 {
		first := random.IntN(2) == 0
		for _, loses := range []bool{first, !first} {
			for _, i := range random.Perm(len(d.faults)) {
				if d.faults[i].loses == loses {
					d.left = append(d.left, d.faults[i])
				}
			}
		}
	}
	for len(list) < n && len(d.left) > 0 && (len(list) == 0 || list[0].loses == d.left[0].loses) {
		list, d.left = append(list, d.left[0]), d.left[1:]
	}
	return list
}

// soak runs one epoch after the other, of the topologies in turns, until ctx ends. One
// that the harness itself could not finish is told of, and few of them are tolerated.
func (c *config) soak(ctx context.Context) (*report, error) {
	r := &report{}
	random := rand.New(rand.NewPCG(c.seed, 0))
	ctx, cancel := context.WithTimeout(ctx, c.duration)
	defer cancel()
	var schedules []*faultSchedule
	for _, kind := range c.topologies {
		fitting := slices.DeleteFunc(slices.Clone(c.faults), func(f fault) bool { return !f.fits(kind) })
		if len(fitting) == 0 {
			return r, fmt.Errorf("none of the faults fits topology %s", kind)
		}
		schedules = append(schedules, &faultSchedule{faults: fitting})
	}
	for i := 0; ctx.Err() == nil && !c.enough(r); i++ {
		n := i % len(schedules)
		kind, list := c.topologies[n], schedules[n].draw(c.faultsPerRun, random)
		if err := inEpoch(func(h *harness) { c.run(ctx, h, kind, list, random, r) }); err != nil {
			r.broken = append(r.broken, fmt.Sprintf("%s: %v", kind, err))
			if len(r.broken) > 2+r.runs/10 {
				return r, errors.New("too many epochs were broken off")
			}
		}
	}
	return r, nil
}

// enough tells whether the run has shown what it was to show. Of ours that is the first
// violation: what comes of it would be told again and again.
func (c *config) enough(r *report) bool {
	if c.system == "baton" {
		return len(r.violations) > 0
	}
	return slices.ContainsFunc(r.violations, func(v violation) bool { return v.rule == c.until })
}
