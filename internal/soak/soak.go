package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// peerTTL is that of peers, which do not renew: what they leave behind for a TTL is seen
// to outlast every bound.
const peerTTL = 12 * time.Second

// A faultSchedule has the faults that fit a topology, so that all come as often. Those that lose
// what Redis was told come together, in epochs of their own: there is more to check in
// the others.
type faultSchedule struct {
	faults []fault
	left   []fault
}

func newFaultSchedule(faults []fault, topology string) *faultSchedule {
	d := &faultSchedule{}
	for _, f := range faults {
		if f.fits(topology) {
			d.faults = append(d.faults, f)
		}
	}
	return d
}

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
	var decks []*faultSchedule
	for _, kind := range c.topologies {
		d := newFaultSchedule(c.faults, kind)
		if len(d.faults) == 0 {
			return r, fmt.Errorf("none of the faults fits topology %s", kind)
		}
		decks = append(decks, d)
	}
	for i := 0; ctx.Err() == nil && !c.enough(r); i++ {
		n := i % len(decks)
		if err := c.run(ctx, c.topologies[n], decks[n].draw(c.faultsPerRun, random), random, r); err != nil {
			r.broken = append(r.broken, fmt.Sprintf("%s: %v", c.topologies[n], err))
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
