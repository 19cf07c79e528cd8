// Package redistest is the test kit: private redis-server processes, clusters and sentinels, an
// in-memory server for testing/synctest bubbles, a proxy that injects network faults, and worker
// processes that tests can pause and kill.
//
// Functions that start something take a [testing.TB]. The test's cleanup stops it and waits for its
// goroutines. Programs that are no tests get a testing.TB from [Program].
package redistest
