package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A table is a row's result: a line per system.
type table struct {
	title string
	head  []string
	lines [][]string
	notes []string
}

func (t *table) add(cells ...string) { t.lines = append(t.lines, cells) }

// text has the system's name on the left of its column, and figures on the right.
func (t *table) text() string {
	lines := append([][]string{t.head}, t.lines...)
	width := make([]int, len(t.head))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.title)
	for _, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteString("\n")
	}
	for _, note := range t.notes {
		fmt.Fprintf(&b, "  · %s\n", note)
	}
	return b.String()
}

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
