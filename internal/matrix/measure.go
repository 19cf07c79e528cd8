package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

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
	m.desc = part[1]
	if part[2] == "came to" {
		got, err := strconv.ParseInt(part[3], 10, 64)
		bound, again := strconv.ParseInt(part[4], 10, 64)
		m.got, m.bound, m.over, m.rank = part[3], part[4], got-bound, 1
		return m, err == nil && again == nil
	}
	got, err := time.ParseDuration(part[3])
	bound, again := time.ParseDuration(part[4])
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
