package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is what a run has shown.
type report struct {
	runs                    int
	broken                  []string // epochs that the harness could not finish
	rows                    []*row
	violations              []violation
	leaks                   int
	lateWrites, lostUpdates int64
	abandoned               int // tasks
	renewals, turns         int // found in append-only files
	judged                  int // tries that were refused without an excuse
}

func (r *report) row(f fault, topology string) *row {
	for _, w := range r.rows {
		if w.fault == f.name {
			w.on[topology] = true
			return w
		}
	}
	w := &row{fault: f.name, rows: f.rows, on: map[string]bool{topology: true}}
	r.rows = append(r.rows, w)
	return w
}

var head = []string{"fault", "rows", "on", "episodes", "fired", "counted", "grants before", "during", "after", "violations", "slowest recovery of its bound"}

func (r *report) cells() (table [][]string) {
	total := row{fault: "all", on: map[string]bool{}}
	for _, w := range r.rows {
		table = append(table, w.cells())
		total.faultRuns += w.faultRuns
		total.fired += w.fired
		total.counted += w.counted
		total.before += w.before
		total.during += w.during
		total.after += w.after
		total.violations += w.violations
	}
	slices.SortFunc(table, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return append(table, total.cells())
}

func (w *row) cells() []string {
	slowest := ""
	if w.worst.bound != 0 {
		slowest = w.worst.String()
	}
	return []string{w.fault, w.rows, strings.Join(slices.Sorted(maps.Keys(w.on)), " "), fmt.Sprint(w.faultRuns), fmt.Sprint(w.fired), fmt.Sprint(w.counted),
		fmt.Sprint(w.before), fmt.Sprint(w.during), fmt.Sprint(w.after), fmt.Sprint(w.violations), slowest}
}

// print writes the table, and below it what does not fit into one.
func (r *report) print(out io.Writer, markdown bool) {
	if markdown {
		fmt.Fprintf(out, "| %s |\n|%s\n", strings.Join(head, " | "), " --- | --- | --- |"+strings.Repeat(" ---: |", len(head)-4)+" --- |")
		for _, c := range r.cells() {
			fmt.Fprintf(out, "| %s |\n", strings.Join(c, " | "))
		}
	} else {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, strings.Join(head, "\t"))
		for _, c := range r.cells() {
			fmt.Fprintln(t, strings.Join(c, "\t"))
		}
		t.Flush()
	}
	fmt.Fprintf(out, "\n%d violations, %d leaks, in %d epochs. Storage without fencing took %d writes that came too late, and lost %d updates; with fencing it took and lost none.\n",
		len(r.violations), r.leaks, r.runs, r.lateWrites, r.lostUpdates)
	fmt.Fprintf(out, "In append-only files: %d grants, nobody passed over; %d renewals, none after a release. Tasks abandoned: %d. Tries refused while somebody held: %d.\n", r.turns, r.renewals, r.abandoned, r.judged)
	for _, why := range r.broken {
		fmt.Fprintf(out, "Broken off: %s.\n", why)
	}
	for _, w := range r.rows {
		for _, why := range w.why {
			fmt.Fprintf(out, "Not counted: %s: %s.\n", w.fault, why)
		}
	}
}
