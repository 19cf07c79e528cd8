package main

import (
	"context"
	"fmt"
)

// scale is a row: it repeats hot for ever more goroutines of 4 processes, and
// for 16 processes of 1. It is there for the plots.
type scale struct {
	name   string
	points []*hot
	others map[*hot]bool // points which are rows themselves, and measured there
}

func newScale(name, shape string) (row, error) {
	most, err := size(shape, 256)
	if err != nil {
		return nil, err
	}
	s := &scale{name: name, others: map[*hot]bool{}}
	var shapes []string
	for g := 1; g <= most; g *= 4 {
		shapes = append(shapes, fmt.Sprintf("4x%d", g))
	}
	for _, shape := range append(shapes, "16x1") {
		r, err := newHot("hot-"+shape, shape)
		if err != nil {
			return nil, err
		}
		h := r.(*hot)
		h.picks = func(sys system) bool { return sys.contends() && sys.name != "baton-sync" }
		s.points = append(s.points, h)
	}
	return s, nil
}

// share takes the points that are rows of the list from there.
func (s *scale) share(list []*entry) {
	for i, p := range s.points {
		for _, e := range list {
			if h, ok := e.row.(*hot); ok && h.name == p.name {
				s.points[i], s.others[h] = h, true
			}
		}
	}
}

func (s *scale) round(ctx context.Context, b *bench, n int) error {
	for _, p := range s.points {
		if s.others[p] {
			continue
		}
		if err := p.round(ctx, b, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *scale) report(b *bench) (list []table) {
	for _, m := range measures {
		t := table{title: fmt.Sprintf("%s: %s, by processes and goroutines", s.name, m.title), head: []string{"system"}}
		for _, p := range s.points {
			t.head = append(t.head, fmt.Sprintf("%d×%d", p.processes, p.goroutines))
		}
		for _, sys := range s.systems(b) {
			cells := []string{sys.name}
			for _, p := range s.points {
				cell := "–"
				if x := p.results[sys.name]; x != nil {
					cell = m.of(x).cell()
				}
				cells = append(cells, cell)
			}
			t.add(cells...)
		}
		list = append(list, t)
	}
	return list
}

func (s *scale) systems(b *bench) []system { return b.having(s.points[0].picks) }

func (s *scale) targets(*bench) []target { return nil }

// charts draws what the row has measured: a line per system. 16×1 is not on it.
func (s *scale) charts(b *bench) (list []chart) {
	for _, m := range measures {
		c := chart{measure: m}
		for _, sys := range s.systems(b) {
			l := line{name: sys.name}
			for _, p := range s.points {
				if x := p.results[sys.name]; x != nil && p.processes == s.points[0].processes {
					l.points = append(l.points, point{p.processes * p.goroutines, m.of(x)})
				}
			}
			c.lines = append(c.lines, l)
		}
		list = append(list, c)
	}
	return list
}

// charts finds the row in the list; nil if it is not there.
func charts(list []*entry) func(*bench) []chart {
	for _, e := range list {
		if s, ok := e.row.(*scale); ok {
			return s.charts
		}
	}
	return nil
}
