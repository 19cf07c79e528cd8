package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// page has the table, between two comments.
const page = "internal/docs/redis.md"

const begin, end = "<!-- servers: written by go run ./internal/servers -write -->\n", "<!-- end of servers -->\n"

// table returns the rows in Markdown.
func table(results []result, on time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Run on %s.\n\n| server | tests passed | skipped | failed |\n|---|---|---|---|\n", on.Format(time.DateOnly))
	for _, r := range results {
		failed := "–"
		if len(r.failed) > 0 {
			failed = "`" + strings.Join(r.failed, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", r.version, r.passed, r.skipped, failed)
	}
	return b.String()
}

// writeTable replaces the table of the page.
func writeTable(results []result, on time.Time) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	replaced, err := replaceTable(string(text), table(results, on))
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(replaced), 0o644)
}

func replaceTable(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s has no place for the table", page)
	}
	return before + begin + table + end + after, nil
}
