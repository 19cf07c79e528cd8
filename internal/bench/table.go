package main

import (
	"fmt"
	"strings"
)

// A table is a row's result: a line per system.
type table struct {
	title string
	head  []string
	lines [][]string
	notes []string
}

func (t *table) add(cells ...string) { t.lines = append(t.lines, cells) }

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", t.title)
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(t.head)
	row(append([]string{"---"}, strings.Split(strings.Repeat("---:,", len(t.head)-1), ",")[:len(t.head)-1]...))
	for _, line := range t.lines {
		row(line)
	}
	if len(t.notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range t.notes {
		fmt.Fprintf(&b, "* %s\n", note)
	}
	return b.String()
}
