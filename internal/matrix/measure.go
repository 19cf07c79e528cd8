package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A measure is what a test has logged of one of its bounds: see redistest.CheckDuration
// and redistest.CheckCount.
type measure struct {
	what, got, bound string
	over             int64 // by how much got is above the bound, in ns or in numbers
	rank             int   // 2 a time, 1 a number, 0 the time until all is cleared away, which every test waits for
}

var logged = regexp.MustCompile(`: (.+) (took|came to) (\S+), the bound is (\S+)\n$`)

func parse(line string) (m measure, ok bool) {
	part := logged.FindStringSubmatch(line)
	if part == nil {
		return m, false
	}
	m.what = part[1]
	if part[2] == "came to" {
		got, err := strconv.ParseInt(part[3], 10, 64)
		bound, again := strconv.ParseInt(part[4], 10, 64)
		m.got, m.bound, m.over, m.rank = part[3], part[4], got-bound, 1
		return m, err == nil && again == nil
	}
	got, err := time.ParseDuration(part[3])
	bound, again := time.ParseDuration(part[4])
	m.got, m.bound = got.Round(time.Millisecond).String(), bound.Round(time.Millisecond).String()
	if m.over = int64(got - bound); m.what != "to leave nothing in Redis" {
		m.rank = 2
	}
	return m, err == nil && again == nil
}

// worse reports whether m is nearer to its bound, or farther beyond, than n, or
// says more of its row.
func (m measure) worse(n measure) bool {
	if m.rank != n.rank {
		return m.rank > n.rank
	}
	return m.over > n.over
}

func (m measure) String() string { return fmt.Sprintf("%s: %s of %s", m.what, m.got, m.bound) }
