// Package redistest is the kit which baton's tests stand on: real redis-server
// processes, an in-memory server for testing/synctest bubbles, a proxy which
// injects network faults, and worker processes that can be stopped and killed.
//
// Everything is started by a call that takes a [testing.TB] and is gone, down
// to the last goroutine, when that test's cleanup is over.
package redistest
