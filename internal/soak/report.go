package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A violation is something that must not happen, and did.
type violation struct {
	rule string // an invariant of PROTOCOL.md, or what is leaked
	text string
}

func violated(rule, format string, args ...any) violation {
	return violation{rule, fmt.Sprintf(format, args...)}
}

func (v violation) String() string { return v.rule + ": " + v.text }

// A report is what a run has shown.
type report struct {
	runs       int
	broken     []string // epochs that the harness could not finish
	rows       []*row
	violations []violation
	leaks      int
	abandoned  int // tasks
	renewals   int // found in append-only files
	turns      int // grants there
	judged     int // tries that were refused without an excuse
}

// A row is what has come of a kind of fault.
type row struct {
	fault                    string
	rows                     string
	on                       map[string]bool
	episodes, counted, fired int
	before, during, after    int // grants
	violations               int
	worst                    delay    // the one that came closest to its bound, or went beyond
	why                      []string // episodes were not counted
}

func (r *row) slowest(list []delay) {
	for _, d := range list {
		if r.worst.bound == 0 || float64(d.took)/float64(d.bound) > float64(r.worst.took)/float64(r.worst.bound) {
			r.worst = d
		}
	}
}

func (r *report) row(f fault, topology string) *row {
	i := slices.IndexFunc(r.rows, func(w *row) bool { return w.fault == f.name })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &row{fault: f.name, rows: f.rows, on: map[string]bool{}})
	}
	r.rows[i].on[topology] = true
	return r.rows[i]
}

func (w *row) print(out io.Writer) {
	slowest := ""
	if w.worst.bound != 0 {
		slowest = w.worst.String()
	}
	fmt.Fprintf(out, "| %-20s | %10s | %-35s | %d | %d | %d | %d | %d | %d | %d | %s |\n", w.fault, w.rows, strings.Join(slices.Sorted(maps.Keys(w.on)), " "),
		w.episodes, w.fired, w.counted, w.before, w.during, w.after, w.violations, slowest)
}

// print writes a table in Markdown, and below it what does not fit into one.
func (r *report) print(out io.Writer) {
	fmt.Fprintln(out, "| fault | rows | on | episodes | fired | counted | grants before | during | after | violations | slowest recovery of its bound |\n"+
		"| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	total := row{fault: "all"}
	slices.SortFunc(r.rows, func(a, b *row) int { return strings.Compare(a.fault, b.fault) })
	for _, w := range r.rows {
		w.print(out)
		total.episodes += w.episodes
		total.fired += w.fired
		total.counted += w.counted
		total.before += w.before
		total.during += w.during
		total.after += w.after
		total.violations += w.violations
	}
	total.print(out)
	fmt.Fprintf(out, "\n%d violations, %d leaks, in %d epochs. In append-only files: %d grants, nobody passed over; %d renewals, none after a release. Tasks abandoned: %d. Tries refused while somebody held: %d.\n",
		len(r.violations), r.leaks, r.runs, r.turns, r.renewals, r.abandoned, r.judged)
	for _, why := range r.broken {
		fmt.Fprintf(out, "Broken off: %s.\n", why)
	}
	for _, w := range r.rows {
		for _, why := range w.why {
			fmt.Fprintf(out, "Not counted: %s: %s.\n", w.fault, why)
		}
	}
}
