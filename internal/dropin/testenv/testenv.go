// Package testenv has the functions of internal/testenv that the tests of sync use.
package testenv

import (
	"os"
	"testing"
)

// MustHaveExec does nothing: tests can start processes here.
func MustHaveExec(testing.TB) {}

// Executable returns the path of the test binary.
func Executable(t testing.TB) string {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
