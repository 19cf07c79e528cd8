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

// table is the rows as Markdown, with what was measured of each.
func table(list []row, measured []string) string {
	var b strings.Builder
	line := func(cells []string) {
		fmt.Fprintf(&b, "| %s |\n", strings.ReplaceAll(strings.Join(cells, " | "), "\x00", `\x00`)) // of an odd key
	}
	line(header)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(header)))
	for i, r := range list {
		line(append(r.cells(), measured[i]))
	}
	return b.String()
}

// measured is what the page's table says was measured of each row of the list: "—" of one
// that is not there.
func measured(page string) []string {
	_, rest, _ := strings.Cut(page, begin)
	written, _, _ := strings.Cut(rest, end)
	said := map[string]string{} // by number
	for line := range strings.Lines(written) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |\n"), " | ")
		said[cells[0]] = cells[len(cells)-1]
	}
	list := make([]string, len(rows))
	for i, r := range rows {
		if list[i] = said[fmt.Sprint(r.number)]; list[i] == "" {
			list[i] = "—"
		}
	}
	return list
}

// insert puts the table in place of the one in the page.
func insert(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, also := strings.Cut(rest, end)
	if !ok || !also {
		return "", fmt.Errorf("the page has no place for the table")
	}
	return before + begin + table + end + after, nil
}
