package main

import "fmt"

// A goal is a bound for a figure of a system, or for the ratio to the figure of another system.
type goal struct {
	system, figure string
	relativeTo     string // another system, best, bestFair, or "" for the figure itself
	limit          float64
	minimum        bool // limit is a minimum instead of a maximum
}

const (
	best     = "best peer"
	bestFair = "best fair peer"
)

// fair is Jain's index from which a peer counts as fair. Other peers may be fast because one worker
// keeps the lock.
const fair = 0.9

// best returns the name of the peer with the best figure, among the peers that exclude, and only among
// fair peers if isFair is set. It returns "" if there is none.
func (r results) best(figure string, isFair bool) (name string) {
	for _, s := range systems {
		x := r[s.name]
		if x == nil || s.ours || x.clashes > 0 || isFair && x.figures[jains].median() < fair {
			continue
		}
		got, most := r.get(s.name, figure).median(), r.get(name, figure).median()
		if name == "" || (figure == rate) == (got > most) {
			name = s.name
		}
	}
	return name
}

// evaluate returns the description of the goal, and its figure or ratio in each round.
func (r *row) evaluate(g goal) (desc string, got series) {
	desc, got = r.name+": "+g.system+": "+g.figure, r.results.get(g.system, g.figure)
	if g.relativeTo == "" {
		return desc, got
	}
	relativeTo := g.relativeTo
	if g.relativeTo == best || g.relativeTo == bestFair {
		relativeTo = r.results.best(g.figure, g.relativeTo == bestFair)
		desc += ", × that of the " + g.relativeTo
	} else {
		desc += ", × that of"
	}
	return fmt.Sprintf("%s %s", desc, relativeTo), got.ratioTo(r.results.get(relativeTo, g.figure))
}

func (g goal) bound() string {
	if g.minimum {
		return "≥ " + number(g.limit)
	}
	return "≤ " + number(g.limit)
}

func (g goal) verdict(got series) string {
	switch x := got.median(); {
	case len(got) == 0:
		return "not measured"
	case g.minimum && x >= g.limit, !g.minimum && x <= g.limit:
		return "met"
	}
	return "NOT MET"
}

// goalTable has the goals of all rows.
func goalTable(list []*row) table {
	t := table{title: "Goals", head: []string{"goal", "limit", "this run", "min–max", "verdict"}}
	for _, r := range list {
		for _, g := range r.goals {
			desc, got := r.evaluate(g)
			t.lines = append(t.lines, []string{desc, g.bound(), got.cell(), got.spread(), g.verdict(got)})
		}
	}
	return t
}
