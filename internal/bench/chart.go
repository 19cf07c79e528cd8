package main

import (
	"cmp"
	"math"
	"slices"
)

// A measure is what a chart shows of a system under contention.
type measure struct {
	file, title, better string
	linear              bool // from 0 to 1; else logarithmic
	of                  func(*hotResult) series
}

var measures = []measure{
	{file: "handover", title: "time from one holder to the next, µs", better: "lower is better",
		of: func(x *hotResult) (s series) {
			for _, rate := range x.rate {
				s = append(s, 1e6/rate)
			}
			return s
		}},
	{file: "wait", title: "wait for the lock, p99, ms", better: "lower is better",
		of: func(x *hotResult) series { return x.p99 }},
	{file: "requests", title: "requests to Redis per hold", better: "lower is better",
		of: func(x *hotResult) series { return x.requests }},
	{file: "fairness", title: "fairness between workers, Jain's index", better: "1 is fair", linear: true,
		of: func(x *hotResult) series { return x.jain }},
}

// A chart has a line per system, over the number of waiters.
type chart struct {
	measure
	lines []line
}

type line struct {
	name   string
	points []point
}

type point struct {
	waiters int
	values  series
}

// The plane of a chart, in pixels.
const (
	width, height          = 720, 420
	left, right, top, foot = 66, 578, 68, 366
)

// shown tells whether the chart can show a value.
func (c chart) shown(y float64) bool {
	return !math.IsNaN(y) && !math.IsInf(y, 0) && (c.linear || y > 0)
}

// span is the range of the values, to whole powers of ten.
func (c chart) span() (low, high float64) {
	if c.linear {
		return 0, 1
	}
	low, high = math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, p := range l.points {
			for _, y := range p.values {
				if c.shown(y) {
					low, high = min(low, math.Log10(y)), max(high, math.Log10(y))
				}
			}
		}
	}
	if low > high {
		return 0, 1
	}
	low, high = math.Floor(low), math.Ceil(high)
	return low, max(high, low+1)
}

// y is where a value is in the plane.
func (c chart) y(value float64) float64 {
	low, high := c.span()
	if !c.linear {
		value = math.Log10(value)
	}
	return foot - (value-low)/(high-low)*(foot-top)
}

// waiters are the numbers that there are points for.
func (c chart) waiters() (list []int) {
	for _, l := range c.lines {
		for _, p := range l.points {
			list = append(list, p.waiters)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// x is where a number of waiters is in the plane, by its logarithm.
func (c chart) x(waiters int) float64 {
	list := c.waiters()
	low, high := math.Log2(float64(list[0])), math.Log2(float64(list[len(list)-1]))
	if low == high {
		return left
	}
	return left + (math.Log2(float64(waiters))-low)/(high-low)*(right-left)
}

// A label is a line's name beside its end.
type label struct {
	name     string
	x, at, y float64 // the line's end, and where there is room
}

// labelled is the least distance of two labels.
const labelled = 16

// labels finds room for all, in the order of the lines' ends.
func (c chart) labels() (list []label) {
	for _, l := range c.lines {
		for _, p := range slices.Backward(l.points) {
			if c.shown(p.values.median()) {
				y := c.y(p.values.median())
				list = append(list, label{l.name, c.x(p.waiters), y, y})
				break
			}
		}
	}
	slices.SortStableFunc(list, func(a, b label) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(list); i++ {
		list[i].y = max(list[i].y, list[i-1].y+labelled)
	}
	for i := len(list) - 1; i >= 0; i-- {
		below := float64(foot) + labelled
		if i < len(list)-1 {
			below = list[i+1].y
		}
		list[i].y = min(list[i].y, below-labelled)
	}
	return list
}
