package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScale draws what it has measured, and measures no row twice.
func TestScale(t *testing.T) {
	b := testBench(t)
	b.systems = named(t, "baton,redislock,redislock-1ms,spin")
	list, err := parse("scale-4,hot-4x4")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := e.round(t.Context(), b, 0); err != nil {
			t.Fatal(err)
		}
	}
	s := list[0].row.(*scale)
	if len(s.points) != 3 || s.points[1] != list[1].row || len(s.points[1].results["baton"].rate) != 1 || len(s.points[2].results["spin"].rate) != 1 {
		t.Errorf("%+v", s)
	}
	dir := t.TempDir()
	if err := draw(dir, charts(list)(b)); err != nil {
		t.Fatal(err)
	}
	for _, m := range measures {
		text, err := os.ReadFile(filepath.Join(dir, m.file+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Paths []struct {
				Class string `xml:"class,attr"`
				D     string `xml:"d,attr"`
			} `xml:"path"`
		}
		if err := xml.Unmarshal(text, &all); err != nil || len(all.Paths) != 4 || strings.Contains(string(text), "NaN") {
			t.Errorf("%s: %v\n%s", m.file, err, text)
		}
	}
	if charts(list[1:]) != nil {
		t.Error("hot has plots")
	}
}

// TestLabels finds room for all labels.
func TestLabels(t *testing.T) {
	c := chart{measure: measures[3]}
	for _, y := range []float64{1, 1, 0.99, 0.5, 0, 0, 0.01} {
		c.lines = append(c.lines, line{"x", []point{{4, series{0.5}}, {16, series{y}}}})
	}
	c.lines = append(c.lines, line{"ends early", []point{{4, series{0.5}}, {16, nil}}})
	list := c.labels()
	if len(list) != len(c.lines) {
		t.Errorf("%d labels of %d lines", len(list), len(c.lines))
	}
	for i, l := range list {
		if l.y < top-labelled || l.y > foot || i > 0 && l.y < list[i-1].y+labelled {
			t.Errorf("%d: %+v", i, list)
		}
	}
}
