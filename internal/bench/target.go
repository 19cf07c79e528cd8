package main

import (
	"fmt"
	"strings"
)

// A target is what a row is to reach, and what it has reached.
type target struct {
	row, what string
	got       series
	limit     float64
	least     bool // the limit is the least, and not the most
}

func (t target) bound() string {
	if t.least {
		return "≥ " + number(t.limit)
	}
	return "≤ " + number(t.limit)
}

func (t target) verdict() string {
	switch x := t.got.median(); {
	case len(t.got) == 0:
		return "not measured"
	case t.least && x >= t.limit, !t.least && x <= t.limit:
		return "met"
	}
	return "NOT MET"
}

// targets is the table of all.
func (b *bench) targets(list []*entry) table {
	t := table{title: "Targets", head: []string{"target", "limit", "this run", "min–max", "verdict"}}
	met, missed := 0, 0
	for _, e := range list {
		for _, x := range e.targets(b) {
			t.add(x.row+": "+x.what, x.bound(), x.got.cell(), x.got.spread(), x.verdict())
			switch v := x.verdict(); {
			case v == "met":
				met++
			case strings.HasPrefix(v, "NOT"):
				missed++
			}
		}
	}
	t.notes = append(t.notes, fmt.Sprintf("%d met, %d not met; by the medians of this run", met, missed))
	return t
}
