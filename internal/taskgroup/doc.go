// Package taskgroup decides when the operations of a wait group are sent, repeated and undone, when
// its tasks are renewed, and when its waits end. It deals with time and goroutines; it does not
// know Redis, which it reaches through a [Store].
//
// A generation of a group begins when something is added to an empty group. It is finished when the
// count is 0 and no task is left. A task counts for as long as its process renews it. A wait belongs
// to the generation that is in progress when the wait begins.
//
// internal/PROTOCOL.md describes the protocol, with the reasons.
//
// # Files
//
//	store.go   Store: what Redis counts; the errors
//	manager.go NewManager, NewSession: the watchers of a client
//	session.go Update: how an operation is numbered, repeated and undone
//	task.go    Start, Done, Abandon: a task and its renewal
//	watcher.go run: when a process polls a group for all its waiters
//	waiter.go  Wait, WaitChan: for which generation a caller waits
package taskgroup
