// Package lease is the engine under every primitive of baton: time and
// goroutines, and no Redis. It knows three things.
//
// A [Lease] is what one caller waits for, and then holds. A claim is what this
// process waits for in Redis, and then holds, on one key; local leases take
// their turns under it. A line is the local queue of one key, with its claim. A
// [Keeper] has the lines of one Redis client, one subscription and one clock
// that renews and expires them all.
//
// The authority is Redis, reached through a [Store]. What the package adds is the
// window in which a process may believe that it holds something without asking,
// and the rule that nothing outlives its use: no goroutine, timer, subscription
// or map entry exists but for a key that is held or awaited. (Two moments of grace:
// the subscription and its crew linger for 100 ms, and a timer that is set is left to fire.)
//
// The protocol, with the reasons, is in internal/PROTOCOL.md.
package lease
