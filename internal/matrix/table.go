package main

import (
	"fmt"
	"strings"
)

const (
	begin = "<!-- go run ./internal/matrix -write -->\n"
	end   = "<!-- end -->\n"
)

var header = []string{"#", "fault", "required", "tests", "server", "bound", "worst measured"}

// table returns the rows in Markdown, with their measurements.
func table(list []row, measured []string) string {
	var b strings.Builder
	line := func(cells []string) {
		fmt.Fprintf(&b, "| %s |\n", strings.ReplaceAll(strings.Join(cells, " | "), "\x00", `\x00`)) // NUL from an odd key
	}
	line(header)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(header)))
	for i, r := range list {
		line(append(r.cells(), measured[i]))
	}
	return b.String()
}

// measured returns the measurement of each row in the page's table, or "—" for a missing row.
func measured(page string) []string {
	_, rest, _ := strings.Cut(page, begin)
	written, _, _ := strings.Cut(rest, end)
	measurements := map[string]string{} // by row number
	for line := range strings.Lines(written) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |\n"), " | ")
		measurements[cells[0]] = cells[len(cells)-1]
	}
	list := make([]string, len(rows))
	for i, r := range rows {
		if list[i] = measurements[fmt.Sprint(r.number)]; list[i] == "" {
			list[i] = "—"
		}
	}
	return list
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
