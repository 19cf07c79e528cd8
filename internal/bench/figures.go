package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
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
	figures                   map[string]series
	clashes, unserved, failed int64
	why                       string
}

// resultFor returns the result of a system, and creates it if necessary.
func (r *row) resultFor(name string) *result {
	if r.results[name] == nil {
		r.results[name] = &result{figures: map[string]series{}}
	}
	return r.results[name]
}

// get returns a figure of a system, or nil.
func (r *row) get(name, figure string) series {
	switch x := r.results[name]; {
	case x == nil:
		return nil
	case figure == overFloor:
		return x.figures[rate].ratioTo(r.get("floor", rate))
	default:
		return x.figures[figure]
	}
}

func (x *result) record(figure string, value float64) {
	x.figures[figure] = append(x.figures[figure], value)
}

func (x *result) add(t *tally, spent count, d time.Duration) {
	per := float64(max(t.holds()+t.Late, 1))
	x.record(rate, float64(t.holds())/d.Seconds())
	x.record(p50, micros(t.Waits.quantile(0.50)))
	x.record(p99, micros(t.Waits.quantile(0.99)))
	x.record(longest, micros(t.Waits.quantile(1)))
	if len(t.Holds) > 1 {
		x.record(jains, jain(t.Holds))
	}
	x.record(requests, float64(spent.requests)/per)
	x.record(serverTime, micros(spent.cpu)/per)
	x.record(clientTime, micros(t.CPU)/per)
	if t.Writes > 0 {
		x.record(writeWait, micros(t.WriteWait)/float64(t.Writes))
	}
	x.unserved += t.Unserved
	if x.failed += t.Failed; t.Why != "" {
		x.why = t.Why
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// jain returns Jain's fairness index: 1 if all shares are equal, 1/n if one share is everything.
func jain(shares []int64) float64 {
	var sum, squares float64
	for _, n := range shares {
		x := float64(n)
		sum, squares = sum+x, squares+x*x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// verdict returns a remark about a system that does not exclude, starves a worker or fails.
func (x *result) verdict() (verdict string) {
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

// markdown returns a table with the median of each figure that a system has, and the range of the main figures.
func (r *row) markdown() string {
	lines := [][]string{{"system"}}
	for _, s := range systems {
		if r.results[s.name] != nil {
			lines = append(lines, []string{s.name})
		}
	}
	for _, figure := range figures {
		if !slices.ContainsFunc(systems, func(s system) bool { return r.get(s.name, figure) != nil }) {
			continue
		}
		ranged := figure == rate || figure == p50 || figure == p99
		for i := range lines {
			cells, spread := figure, "min–max"
			if i > 0 {
				got := r.get(lines[i][0], figure)
				cells, spread = got.cell(), got.spread()
			}
			if lines[i] = append(lines[i], cells); ranged {
				lines[i] = append(lines[i], spread)
			}
		}
	}
	lines[0] = append(lines[0], "remarks")
	for i := range lines[1:] {
		lines[i+1] = append(lines[i+1], r.results[lines[i+1][0]].verdict())
	}
	return markdown(r.name+": "+r.desc, lines)
}

// markdown returns a table, whose first line is the head.
func markdown(title string, lines [][]string) string {
	rule := slices.Repeat([]string{"---:"}, len(lines[0]))
	rule[0] = "---"
	text := "**" + title + "**\n\n"
	for _, cells := range slices.Insert(lines, 1, rule) {
		text += "| " + strings.Join(cells, " | ") + " |\n"
	}
	return text
}

// A goal is a bound for a figure of a system, or for the ratio to the figure of another system.
type goal struct {
	system, figure string
	relativeTo     string  // another system, best, bestFair, or "" for the figure itself
	limit          float64 // a minimum of rate and jains, and a maximum of other figures
}

const (
	best     = "best peer"
	bestFair = "best fair peer"
	// fair is Jain's index from which a peer counts as fair. Other peers may be fast because one worker
	// keeps the lock.
	fair = 0.9
)

// best returns the name of the peer with the best figure, among the peers that exclude, and only among
// fair peers if isFair is set. It returns "" if there is none.
func (r *row) best(figure string, isFair bool) (name string) {
	for _, s := range systems {
		x := r.results[s.name]
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

// evaluate returns the goal's cells of the table: its description, its bound, the figure or ratio, and the verdict.
func (r *row) evaluate(g goal) []string {
	desc, got := r.name+": "+g.system+": "+g.figure, r.get(g.system, g.figure)
	switch g.relativeTo {
	case "":
	case best, bestFair:
		name := r.best(g.figure, g.relativeTo == bestFair)
		desc, got = desc+", × that of the "+g.relativeTo+" "+name, got.ratioTo(r.get(name, g.figure))
	default:
		desc, got = desc+", × that of "+g.relativeTo, got.ratioTo(r.get(g.relativeTo, g.figure))
	}
	bound, x, verdict := "≤ ", got.median(), "NOT MET"
	met := x <= g.limit
	if g.figure == rate || g.figure == jains {
		bound, met = "≥ ", x >= g.limit
	}
	if len(got) == 0 {
		verdict = "not measured"
	} else if met {
		verdict = "met"
	}
	return []string{desc, bound + number(g.limit), got.cell(), got.spread(), verdict}
}

// goalTable has the goals of all rows.
func goalTable(list []*row) string {
	lines := [][]string{{"goal", "limit", "this run", "min–max", "verdict"}}
	for _, r := range list {
		for _, g := range r.goals {
			lines = append(lines, r.evaluate(g))
		}
	}
	return markdown("Goals", lines)
}

// A series has the values of one figure, one per round.
type series []float64

func (s series) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	t := slices.Sorted(slices.Values(s))
	return (t[(len(t)-1)/2] + t[len(t)/2]) / 2
}

// ratioTo returns the ratio of each round.
func (s series) ratioTo(other series) (q series) {
	for i := range min(len(s), len(other)) {
		q = append(q, s[i]/other[i])
	}
	return q
}

// cell returns the median, and spread the range, with three significant digits.
func (s series) cell() string { return number(s.median()) }

func (s series) spread() string {
	if len(s) == 0 {
		return "–"
	}
	return number(slices.Min(s)) + "–" + number(slices.Max(s))
}

// number formats with three significant digits, but at most three decimals.
func number(x float64) string {
	if math.IsNaN(x) {
		return "–" // 0/0, or no value
	}
	decimals := 3
	for limit := 1.0; limit <= math.Abs(x) && decimals > 0; limit *= 10 {
		decimals--
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}
