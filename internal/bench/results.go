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
	overFloor   = "× floor" // of holds/s
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

// A result is what a system has shown in a row: figures, one a round, and counts.
type result struct {
	figures                           map[string]series
	clashes, served, unserved, failed int64
	why                               string
}

// results are those of a row, by system.
type results map[string]*result

// of is the result of a system, to which it adds.
func (r results) of(name string) *result {
	if r[name] == nil {
		r[name] = &result{figures: map[string]series{}}
	}
	return r[name]
}

// get returns a figure of a system, nil if it has none.
func (r results) get(name, figure string) series {
	if x := r[name]; x != nil && figure == overFloor {
		return x.figures[rate].over(r.get("floor", rate))
	} else if x != nil {
		return x.figures[figure]
	}
	return nil
}

func (x *result) note(figure string, value float64) {
	x.figures[figure] = append(x.figures[figure], value)
}

func (x *result) add(t *trial, d time.Duration, s system) {
	holds := t.holds() + t.Late
	per := float64(max(holds, 1))
	x.note(rate, float64(t.holds())/d.Seconds())
	x.note(p50, micros(t.Waits.quantile(0.50)))
	x.note(p99, micros(t.Waits.quantile(0.99)))
	x.note(longest, micros(t.Longest))
	if len(t.Holds) > 1 {
		x.note(jains, jain(t.Holds))
	}
	x.note(requests, float64(t.requests(s))/per)
	x.note(serverTime, micros(t.cpu)/per)
	x.note(clientTime, micros(t.CPU)/per)
	if t.Writes > 0 {
		x.note(writeWait, micros(t.WriteWait)/float64(t.Writes))
	}
	x.clashes += t.clashes
	x.served += holds
	x.unserved += t.Unserved
	if x.failed += t.Failed; t.Why != "" {
		x.why = t.Why
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// verdict is what is to be said of a system that is not as it should be.
func (x *result) verdict() string {
	verdict := ""
	if x.clashes > 0 {
		verdict = "BROKEN: two were inside "
	}
	if x.unserved > 0 {
		verdict += fmt.Sprintf("%d unserved ", x.unserved)
	}
	if x.failed > 0 {
		verdict += fmt.Sprintf("%d calls failed: %s", x.failed, x.why)
	}
	return verdict
}

// A table is a row's result: a line per system.
type table struct {
	title string
	head  []string
	lines [][]string
}

// report has a column for each figure that any system has: its median, and the range of the main ones.
func (r *row) report() table {
	t := table{title: r.name + ": " + r.what, head: []string{"system"}}
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

// A trial is one measurement: what the workers report, what their memory shows,
// and what the server has counted meanwhile.
type trial struct {
	*tally
	count
	clashes int64
	total   int64 // holds, by the shared memory
}

// roundTrip returns the median time of one command at a time.
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
