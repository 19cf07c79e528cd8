package main

import (
	"regexp"
	"strings"
)

// A verdict is what became of a mutant.
type verdict int

const (
	caught verdict = iota
	survived
	unbuilt // which says nothing: a compiler has caught it, and no test
)

func (v verdict) String() string { return [...]string{"caught", "SURVIVED", "DOES NOT BUILD"}[v] }

var (
	failing = regexp.MustCompile(`_test\.go:\d+: |\.go:\d+:\d+: |^panic: |^fatal error: |goroutines:`)
	claim   = regexp.MustCompile(`baton:\d+:[^ :]+:\d+:\w+:\w+`)
)

// firstFailing returns the line in which a test first says what is wrong.
func firstFailing(output string) string {
	for line := range strings.Lines(output) {
		if !failing.MatchString(line) {
			continue
		}
		line = claim.ReplaceAllString(strings.TrimSpace(line), "…")
		if short := []rune(line); len(short) > 110 {
			line = string(short[:110]) + "…"
		}
		return strings.ReplaceAll(line, "|", `\|`)
	}
	return "it says nothing"
}
