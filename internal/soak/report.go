package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
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
	runs       int
	failedRuns []string // test runs that the harness could not finish
	rows       []*row
	violations []violation
	leaks      int
	abandoned  int // tasks
	aofGrants  int // grants checked in append-only files
}

// A row has the results of one fault.
type row struct {
	fault, rows string
	n           [violations + 1]int
	worst       delay    // the delay with the largest ratio to its bound
	reasons     []string // why fault runs were not counted
}

// The counts of a row, in the order of the table's columns.
const (
	runs = iota
	fired
	counted
	grantsBefore
	grantsDuring
	grantsAfter
	violations
)

func (r *row) slowest(list []delay) {
	for _, d := range list {
		if r.worst.bound == 0 || float64(d.took)/float64(d.bound) > float64(r.worst.took)/float64(r.worst.bound) {
			r.worst = d
		}
	}
}

// A delay is the time from the end of a fault to the next grant of a key.
type delay struct {
	key   string
	took  time.Duration
	bound time.Duration // without slack for the machine
}

func (d delay) String() string {
	if d.bound == 0 {
		return ""
	}
	return fmt.Sprintf("%s %v of %v", d.key, d.took.Round(time.Millisecond), d.bound.Round(time.Millisecond))
}

func (r *report) row(f fault) *row {
	i := slices.IndexFunc(r.rows, func(w *row) bool { return w.fault == f.name })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &row{fault: f.name, rows: f.rows})
	}
	return r.rows[i]
}

// total returns the sums of the rows' counts.
func (r *report) total() row {
	total := row{fault: "all"}
	for _, w := range r.rows {
		for i, n := range w.n {
			total.n[i] += n
		}
	}
	return total
}

func (w *row) print(out io.Writer) {
	fmt.Fprintf(out, "| %-20s | %10s |", w.fault, w.rows)
	for _, n := range w.n {
		fmt.Fprintf(out, " %d |", n)
	}
	fmt.Fprintf(out, " %s |\n", w.worst)
}

// print writes a Markdown table, and the other results below it.
func (r *report) print(out io.Writer) {
	fmt.Fprintln(out, "| fault | rows | fault runs | fired | counted | grants before | during | after | violations | slowest recovery, of its bound |\n"+
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	slices.SortFunc(r.rows, func(a, b *row) int { return strings.Compare(a.fault, b.fault) })
	total := r.total()
	for _, w := range append(slices.Clone(r.rows), &total) {
		w.print(out)
	}
	fmt.Fprintf(out, "\n%d violations, %d leaks, in %d test runs. In append-only files: %d grants, no waiter skipped. Abandoned tasks: %d.\n",
		len(r.violations), r.leaks, r.runs, r.aofGrants, r.abandoned)
	for _, reasons := range r.failedRuns {
		fmt.Fprintf(out, "Not finished: %s.\n", reasons)
	}
	for _, w := range r.rows {
		for _, reasons := range w.reasons {
			fmt.Fprintf(out, "Not counted: %s: %s.\n", w.fault, reasons)
		}
	}
}
