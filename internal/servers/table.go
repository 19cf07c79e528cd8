package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// page contains the table, between two comments.
const page = "internal/docs/redis.md"

const begin, end = "<!-- servers: written by go run ./internal/servers -write -->\n", "<!-- end of servers -->\n"

// writeTable updates the table of the page.
func writeTable(r result, on time.Time) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	replaced, err := replaceTable(string(text), r, on)
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(replaced), 0o644)
}

// replaceTable returns the page with the row of the result.
func replaceTable(text string, r result, on time.Time) (string, error) {
	before, rest, _ := strings.Cut(text, begin)
	table, after, ok := strings.Cut(rest, end)
	lines := strings.SplitAfter(table, "\n")
	if !ok || len(lines) < 3 {
		return "", fmt.Errorf("%s lacks the table, or the comments around it", page)
	}
	failed := "–"
	if len(r.failed) > 0 {
		failed = "`" + strings.Join(r.failed, "`, `") + "`"
	}
	head, rows := lines[:2], lines[2:len(lines)-1]
	rows = slices.DeleteFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| "+r.version+" |") })
	rows = append(rows, fmt.Sprintf("| %s | %s | %d | %d | %s |\n", r.version, on.Format(time.DateOnly), r.passed, r.skipped, failed))
	slices.Sort(rows)
	return before + begin + strings.Join(head, "") + strings.Join(rows, "") + end + after, nil
}
