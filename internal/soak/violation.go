package main

import "fmt"

// A violation is something that must not happen, and did.
type violation struct {
	rule string // an invariant of PROTOCOL.md, or what is leaked
	text string
}

func violated(rule, format string, args ...any) violation {
	return violation{rule, fmt.Sprintf(format, args...)}
}

func (v violation) String() string { return v.rule + ": " + v.text }
