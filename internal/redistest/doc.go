// Package redistest is the test kit: private redis-server processes, clusters and sentinels, an
// in-memory server for testing/synctest bubbles, a proxy that injects network faults, and worker
// processes that tests can pause and kill.
//
// Functions that start something take a [testing.TB], except Launch functions. The test's cleanup
// stops it and waits for its goroutines.
package redistest
