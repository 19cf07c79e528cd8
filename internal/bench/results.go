package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The figures of a system in a row, in the order of the table's columns.
const (
	rate        = "holds/s"
	overFloor   = "× floor" // ratio of holds/s
	p50         = "p50 µs"
	p99         = "p99 µs"
	longest     = "longest µs"
	trips       = "p50 in round trips"
	jains       = "Jain"
	requests    = "requests/hold"
	serverTime  = "server µs/hold"
	clientTime  = "client µs/hold"
	allocations = "allocations/hold"
	writeWait   = "wait of a write µs"
)

var figures = []string{rate, overFloor, p50, p99, longest, trips, jains, requests, serverTime, clientTime, allocations, writeWait}

// A result has a system's figures in a row, one value per round, and its counts.
type result struct {
	figures                           map[string]series
	clashes, served, unserved, failed int64
	why                               string
}

// results has the results of a row, by system.
type results map[string]*result

// resultFor returns the result of a system, and creates it if necessary.
func (r results) resultFor(name string) *result {
	if r[name] == nil {
		r[name] = &result{figures: map[string]series{}}
	}
	return r[name]
}

// get returns a figure of a system, or nil.
func (r results) get(name, figure string) series {
	if x := r[name]; x != nil && figure == overFloor {
		return x.figures[rate].ratioTo(r.get("floor", rate))
	} else if x != nil {
		return x.figures[figure]
	}
	return nil
}

func (x *result) record(figure string, value float64) {
	x.figures[figure] = append(x.figures[figure], value)
}

func (x *result) add(t *trial, d time.Duration, s system) {
	holds := t.holds() + t.Late
	per := float64(max(holds, 1))
	x.record(rate, float64(t.holds())/d.Seconds())
	x.record(p50, micros(t.Waits.quantile(0.50)))
	x.record(p99, micros(t.Waits.quantile(0.99)))
	x.record(longest, micros(t.Longest))
	if len(t.Holds) > 1 {
		x.record(jains, jain(t.Holds))
	}
	x.record(requests, float64(t.requests(s))/per)
	x.record(serverTime, micros(t.cpu)/per)
	x.record(clientTime, micros(t.CPU)/per)
	if t.Writes > 0 {
		x.record(writeWait, micros(t.WriteWait)/float64(t.Writes))
	}
	x.clashes += t.clashes
	x.served += holds
	x.unserved += t.Unserved
	if x.failed += t.Failed; t.Why != "" {
		x.why = t.Why
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// verdict returns a remark about a system that does not exclude, starves a worker or fails.
func (x *result) verdict() string {
	verdict := ""
	if x.clashes > 0 {
		verdict = "BROKEN: two inside at once "
	}
	if x.unserved > 0 {
		verdict += fmt.Sprintf("%d unserved ", x.unserved)
	}
	if x.failed > 0 {
		verdict += fmt.Sprintf("%d calls failed: %s", x.failed, x.why)
	}
	return verdict
}

// A table shows the results of a row, with one line per system.
type table struct {
	title string
	head  []string
	lines [][]string
}

// report returns a table with the median of each figure that a system has, and the range of the main figures.
func (r *row) report() table {
	t := table{title: r.name + ": " + r.desc, head: []string{"system"}}
	var shown []string
	for _, figure := range figures {
		if slices.ContainsFunc(systems, func(s system) bool { return r.results.get(s.name, figure) != nil }) {
			shown, t.head = append(shown, figure), append(t.head, figure)
			if ranged(figure) {
				t.head = append(t.head, "min–max")
			}
		}
	}
	t.head = append(t.head, "remarks")
	for _, s := range systems {
		x := r.results[s.name]
		if x == nil {
			continue
		}
		line := []string{s.name}
		for _, figure := range shown {
			got := r.results.get(s.name, figure)
			if line = append(line, got.cell()); ranged(figure) {
				line = append(line, got.spread())
			}
		}
		t.lines = append(t.lines, append(line, x.verdict()))
	}
	return t
}

func ranged(figure string) bool { return figure == rate || figure == p50 || figure == p99 }

func (t table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", t.title)
	rule := slices.Repeat([]string{"---:"}, len(t.head))
	rule[0] = "---"
	for _, cells := range slices.Concat([][]string{t.head, rule}, t.lines) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

// A trial is one measurement: the workers' tallies, the counts of the shared memory and those of the
// server.
type trial struct {
	*tally
	count
	clashes int64
	total   int64 // holds, by the shared memory
}

// roundTrip returns the median time of a single command.
func roundTrip(ctx context.Context, addr string) (time.Duration, error) {
	rdb := dial(addr)
	defer rdb.Close()
	times := make([]time.Duration, 21)
	for i := range times {
		start := time.Now()
		if err := rdb.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}
