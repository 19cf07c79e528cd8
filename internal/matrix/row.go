package main

import (
	"fmt"
	"strings"
)

// A row is a fault that must be survived.
type row struct {
	number   int
	fault    string
	required string   // what must hold then
	bound    string   // for how long anybody waits, or how much it costs
	servers  string   // on which its tests run
	tests    []string // "package.Test", or "package.Test/case"
}

// cells are what the table says of a row before what was measured.
func (r row) cells() []string {
	var names []string
	for _, test := range r.tests {
		names = append(names, "`"+test+"`")
	}
	return []string{fmt.Sprint(r.number), r.fault, r.required, strings.Join(names, "<br>"), r.servers, r.bound}
}

// has reports whether a test of that full name belongs to the row, or is a case
// of one that does.
func (r row) has(name string) bool {
	for _, test := range r.tests {
		if is(name, test) {
			return true
		}
	}
	return false
}

// split takes a name apart: the package, the function, and the case or "".
func split(test string) (pkg, function, of string) {
	pkg, name, _ := strings.Cut(test, ".")
	function, of, _ = strings.Cut(name, "/")
	return pkg, function, of
}

// dirs are where the tests of a package are: beside what they test, or here if they
// measure how long something takes.
var dirs = map[string][]string{
	"mutex":      {"./mutex", "./internal/matrix/mutex"},
	"semaphore":  {"./semaphore", "./internal/matrix/semaphore"},
	"waitgroup":  {"./waitgroup", "./internal/matrix/waitgroup"},
	"client":     {"./internal/client"},
	"lease":      {"./internal/lease"},
	"redisstore": {"./internal/redisstore"},
	"clienttest": {"./internal/clienttest"},
}
