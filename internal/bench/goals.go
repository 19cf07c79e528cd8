package main

import "fmt"

// A goal is a bound for a figure of a system: of the figure itself, or of how many times that of
// another system it is.
type goal struct {
	system, figure string
	than           string // another system, or one of those below, or "" for none
	limit          float64
	least          bool // the limit is the least, and not the most
}

const (
	best     = "best peer"
	bestFair = "best fair peer"
)

// fair is Jain's index from which a peer counts as one that lets all in. Others
// may be quick because one worker keeps the lock.
const fair = 0.9

// best returns the name of the peer that is best in a figure, of those that exclude, and are fair if
// that is asked for. It is "" if there is none.
func (r results) best(figure string, isFair bool) (name string) {
	for _, s := range systems {
		x := r[s.name]
		if x == nil || s.own || x.clashes > 0 || isFair && x.figures[jains].median() < fair {
			continue
		}
		got, most := r.get(s.name, figure).median(), r.get(name, figure).median()
		if name == "" || (figure == rate) == (got > most) {
			name = s.name
		}
	}
	return name
}

// reached returns what the goal is about, and the figure, a ratio in each round.
func (r *row) reached(g goal) (what string, got series) {
	what, got = r.name+": "+g.system+": "+g.figure, r.results.get(g.system, g.figure)
	if g.than == "" {
		return what, got
	}
	than := g.than
	if g.than == best || g.than == bestFair {
		than = r.results.best(g.figure, g.than == bestFair)
		what += ", × that of the " + g.than
	} else {
		what += ", × that of"
	}
	return fmt.Sprintf("%s %s", what, than), got.over(r.results.get(than, g.figure))
}

func (g goal) bound() string {
	if g.least {
		return "≥ " + number(g.limit)
	}
	return "≤ " + number(g.limit)
}

func (g goal) verdict(got series) string {
	switch x := got.median(); {
	case len(got) == 0:
		return "not measured"
	case g.least && x >= g.limit, !g.least && x <= g.limit:
		return "met"
	}
	return "NOT MET"
}

// goalTable has the goals of all rows.
func goalTable(list []*row) table {
	t := table{title: "Goals", head: []string{"goal", "limit", "this run", "min–max", "verdict"}}
	for _, r := range list {
		for _, g := range r.goals {
			what, got := r.reached(g)
			t.lines = append(t.lines, []string{what, g.bound(), got.cell(), got.spread(), g.verdict(got)})
		}
	}
	return t
}
