package main

import (
	"fmt"
	"strings"
)

// A row describes a fault, and its tests.
type row struct {
	number   int
	fault    string
	required string   // the promises under the fault
	bound    string   // the longest wait, or the cost
	servers  string   // the servers of its tests
	tests    []string // "package.Test" or "package.Test/subtest"
}

// cells returns the cells of the row, without the measurement.
func (r row) cells() []string {
	var names []string
	for _, test := range r.tests {
		names = append(names, "`"+test+"`")
	}
	return []string{fmt.Sprint(r.number), r.fault, r.required, strings.Join(names, "<br>"), r.servers, r.bound}
}

// has reports whether the row contains the test or subtest.
func (r row) has(name string) bool {
	for _, test := range r.tests {
		if is(name, test) {
			return true
		}
	}
	return false
}

// split splits a name into package, function and subtest, which may be "".
func split(test string) (pkg, function, subtest string) {
	pkg, name, _ := strings.Cut(test, ".")
	function, subtest, _ = strings.Cut(name, "/")
	return pkg, function, subtest
}

// dirs has the directories of a package's tests: its own, and one under internal/matrix for tests that
// measure times.
var dirs = map[string][]string{
	"mutex":      {"./mutex", "./internal/matrix/mutex"},
	"semaphore":  {"./semaphore", "./internal/matrix/semaphore"},
	"waitgroup":  {"./waitgroup", "./internal/matrix/waitgroup"},
	"client":     {"./internal/client"},
	"lease":      {"./internal/lease"},
	"redisstore": {"./internal/redisstore"},
	"clienttest": {"./internal/clienttest"},
}
