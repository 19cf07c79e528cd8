package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A violation is a violated rule, with a description.
type violation struct {
	rule string // an invariant of PROTOCOL.md, or "leak"
	text string
}

func violated(rule, format string, args ...any) violation {
	return violation{rule, fmt.Sprintf(format, args...)}
}

func (v violation) String() string { return v.rule + ": " + v.text }

// A report has the results of the soak.
type report struct {
	runs         int
	failedRuns   []string // test runs that the harness could not finish
	rows         []*row
	violations   []violation
	leaks        int
	abandoned    int // tasks
	renewals     int // checked in append-only files
	aofGrants    int // grants checked in append-only files
	refusedTries int // failed tries without an excuse
}

// A row has the results of one fault.
type row struct {
	fault                    string
	rows                     string
	on                       map[string]bool
	episodes, counted, fired int
	before, during, after    int // grants
	violations               int
	worst                    delay    // the delay with the largest ratio to its bound
	reasons                  []string // why fault runs were not counted
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

// print writes a Markdown table, and the other results below it.
func (r *report) print(out io.Writer) {
	fmt.Fprintln(out, "| fault | rows | on | fault runs | fired | counted | grants before | during | after | violations | slowest recovery, of its bound |\n"+
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
	fmt.Fprintf(out, "\n%d violations, %d leaks, in %d test runs. In append-only files: %d grants, no waiter skipped; %d renewals, none after a release. Abandoned tasks: %d. Tries that failed because of a holder: %d.\n",
		len(r.violations), r.leaks, r.runs, r.aofGrants, r.renewals, r.abandoned, r.refusedTries)
	for _, reasons := range r.failedRuns {
		fmt.Fprintf(out, "Not finished: %s.\n", reasons)
	}
	for _, w := range r.rows {
		for _, reasons := range w.reasons {
			fmt.Fprintf(out, "Not counted: %s: %s.\n", w.fault, reasons)
		}
	}
}
