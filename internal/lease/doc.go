// Package lease decides when locks are requested, handed on, renewed and given up. It deals with
// time and goroutines; it does not know Redis, which it reaches through a [Store].
//
// A lease is what one caller waits for and then holds. A claim is what this process waits for in
// Redis, and then holds, on one key. The leases of a process take turns under its claim, so Redis
// sees processes and not goroutines. Each key in use has a queue of leases, with its claim. Each
// Redis client has one manager of its queues, with one subscription and one timer for all renewals.
//
// Redis is the authority on who holds a lock. This package adds the trust window: how long the
// process may rely on the last reply without asking again. It also guarantees that nothing outlives
// its use. Goroutines, timers, the subscription and map entries exist only for keys that are held or
// awaited. Two exceptions are short: the subscription stays open for 100 ms, and a timer may still fire.
//
// internal/PROTOCOL.md describes the protocol, with the reasons.
package lease
