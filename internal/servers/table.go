package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// page contains the table, between two comments.
const page = "internal/docs/redis.md"

const begin, end = "<!-- servers: written by go run ./internal/servers -write -->\n", "<!-- end of servers -->\n"

// table returns the earlier Markdown table, with the row of the result.
func table(earlier string, r result, on time.Time) string {
	rows := map[string]string{}
	for line := range strings.Lines(earlier) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |"); versionName.MatchString(name) {
			rows[name] = line
		}
	}
	failed := "–"
	if len(r.failed) > 0 {
		failed = "`" + strings.Join(r.failed, "`, `") + "`"
	}
	rows[r.version] = fmt.Sprintf("| %s | %s | %d | %d | %s |\n", r.version, on.Format(time.DateOnly), r.passed, r.skipped, failed)
	var b strings.Builder
	b.WriteString("| server | run on | tests passed | skipped | failed |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(rows[name])
	}
	return b.String()
}

var versionName = regexp.MustCompile(`^(Redis|Valkey) [\d.]+$`)

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

func replaceTable(text string, r result, on time.Time) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	earlier, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s lacks the comments around the table", page)
	}
	return before + begin + table(earlier, r, on) + end + after, nil
}
