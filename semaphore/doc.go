// Package semaphore limits what a fleet of processes does, over Redis.
//
// # Limiter
//
// A [Limiter] bounds how often something begins; a semaphore bounds how much of
// it goes on at once. A limiter's token is spent when it is taken, and comes back
// by the clock: nobody returns it, so nothing can be forgotten, lost or renewed,
// and how long the work takes does not matter. A semaphore's permit comes back
// when the work is done, so its rate is whatever the work allows.
//
// Use a limiter for what is priced by the call: the quota of an API, mails per
// minute, logins per account. Use a semaphore for what is priced by presence:
// connections, memory, a machine's cores. Use both when a service is short of
// both. A limiter of 100 a second admits a backlog of 3,000 calls in half a
// minute to a service that hangs; a semaphore of 50 lets 50 short calls through
// so often in a second that a quota is gone at once. Then take the permit first
// and the token last, just before the call:
//
//	get a permit, and give it back in the end
//	if err := limiter.Wait(ctx); err != nil {
//		return err
//	}
//	call
//
// The other way round, tokens would be spent by callers that then wait for a
// permit, and their calls would begin together, whenever permits come free.
//
// No more than burst + limit·t events are let through in any time t, as counted
// by the clock of Redis, while Redis keeps what it was told and its clock does not
// leap forward. Set back, the clock stands still for a limiter until the next
// decision, and goes on from there. Who waits is let through by its own clock, a
// network's delay after its turn: never early, but events may come closer to one
// another than their turns were.
//
// # Misuse
//
// What cannot be used, such as an empty key, a size of 0 or a negative limit,
// is refused by the first operation, before anything is written: with an error, or
// with a panic where there is no error to return. A nil ctx, a nil function and
// the methods of a nil Lease panic.
package semaphore
