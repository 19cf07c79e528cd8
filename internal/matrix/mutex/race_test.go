//go:build race

package mutex_test

// race says that the race detector is on: tests that count to a million count less.
const race = true
