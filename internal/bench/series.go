package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

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
func (s series) ratioTo(other series) series {
	var q series
	for i := range min(len(s), len(other)) {
		q = append(q, s[i]/other[i])
	}
	return q
}

// cell returns the median, and spread the range, with three significant digits.
func (s series) cell() string {
	if len(s) == 0 {
		return "–"
	}
	return number(s.median())
}

func (s series) spread() string {
	if len(s) == 0 {
		return "–"
	}
	return number(slices.Min(s)) + "–" + number(slices.Max(s))
}

func number(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "–" // 0/0
	case math.IsInf(x, 0):
		return "∞"
	case a >= 1e3:
		n := math.Round(x)
		if a >= 1e5 {
			n = 1000 * math.Round(x/1000)
		}
		text := strconv.Itoa(int(n))
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case a >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

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
