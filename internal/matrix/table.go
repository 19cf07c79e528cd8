package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	begin  = "<!-- go run ./internal/matrix -write -->\n"
	end    = "<!-- end -->\n"
	header = "| # | fault | required | tests | server | bound | worst measured |\n|---|---|---|---|---|---|---|\n"
)

// table returns the rows in Markdown, with their measurements by number.
func table(list []row, measured map[int]string) string {
	var b strings.Builder
	b.WriteString(header)
	for _, r := range list {
		tests := "`" + strings.Join(r.tests, "`<br>`") + "`"
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", r.number, r.fault, r.required, tests, r.servers, r.bound, measured[r.number])
	}
	return b.String()
}

// measured returns the measurements in the page's table by row number.
func measured(page string) map[int]string {
	measurements := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|.* \| (.*) \|$`).FindAllStringSubmatch(page, -1) {
		number, _ := strconv.Atoi(m[1])
		measurements[number] = m[2]
	}
	return measurements
}

// insert replaces the table of the page.
func insert(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, also := strings.Cut(rest, end)
	if !ok || !also {
		return "", fmt.Errorf("the page lacks the comments around the table")
	}
	return before + begin + table + end + after, nil
}

// A measure is a bound and its measured value, as logged by redistest.CheckDuration and
// redistest.CheckCount.
type measure struct {
	desc, got, bound string
	over             int64 // got minus bound, in ns or as a count
	rank             int   // 2 for a time, 1 for a count, 0 for the time until Redis is empty, which every test measures
}

var logged = regexp.MustCompile(`: (.+) (took|came to) (\S+), the bound is (\S+)\n$`)

func parse(line string) (m measure, ok bool) {
	part := logged.FindStringSubmatch(line)
	if part == nil {
		return m, false
	}
	m.desc, m.got, m.bound = part[1], part[3], part[4]
	if part[2] == "came to" {
		got, err := strconv.ParseInt(m.got, 10, 64)
		bound, again := strconv.ParseInt(m.bound, 10, 64)
		m.over, m.rank = got-bound, 1
		return m, err == nil && again == nil
	}
	got, err := time.ParseDuration(m.got)
	bound, again := time.ParseDuration(m.bound)
	m.got, m.bound = got.Round(time.Millisecond).String(), bound.Round(time.Millisecond).String()
	if m.over = int64(got - bound); m.desc != "to leave nothing in Redis" {
		m.rank = 2
	}
	return m, err == nil && again == nil
}

// worse reports whether m has a higher rank than n, or is nearer to or farther beyond its bound.
func (m measure) worse(n measure) bool {
	if m.rank != n.rank {
		return m.rank > n.rank
	}
	return m.over > n.over
}

func (m measure) String() string { return fmt.Sprintf("%s: %s of %s", m.desc, m.got, m.bound) }
