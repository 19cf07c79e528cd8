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

// logged is what a test says of a bound whether that is kept or not.
var logged = regexp.MustCompile(`, the bound is [^,]*$`)

// firstFailing returns the line in which a test first says what is wrong.
func firstFailing(output string) string {
	said := "it says nothing"
	for line := range strings.Lines(output) {
		if !failing.MatchString(line) {
			continue
		}
		line = claim.ReplaceAllString(strings.TrimSpace(line), "…")
		if said = strings.ReplaceAll(shorten(line), "|", `\|`); !logged.MatchString(line) {
			break
		}
	}
	return said
}

func shorten(line string) string {
	if short := []rune(line); len(short) > 110 {
		return string(short[:110]) + "…"
	}
	return line
}
