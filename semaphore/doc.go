// Package semaphore limits what a fleet of processes does, over Redis: a [Weighted]
// how much of it goes on at once, a [Limiter] how often it begins.
//
// The main path is as with golang.org/x/sync/semaphore and golang.org/x/time/rate:
//
//	sem := semaphore.NewWeighted(rdb, "reports", 10)
//	if err := sem.Acquire(ctx, 3); err != nil {
//		return err
//	}
//	defer sem.Release(3)
//
//	limiter := semaphore.NewLimiter(rdb, "mails", semaphore.Every(100*time.Millisecond), 3)
//	if err := limiter.Wait(ctx); err != nil {
//		return err
//	}
//
// # Which one
//
// A limiter's token is spent when it is taken, and comes back
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
// # What differs from x/sync
//
// Permits are leased: they are renewed for as long as their process lives, and come back
// within TTL of its death. The size lives in Redis, where [Weighted.Resize]
// changes it for all. The line is served in order, between processes too, however much
// the first in it wants.
//
// # In a select
//
//	wait, cancel := context.WithCancel(ctx)
//	defer cancel() // ends the wait; permits that come too late are given back
//
//	select {
//	case r := <-sem.AcquireChan(wait, 3):
//		if r.Err != nil {
//			return r.Err
//		}
//		defer r.Lease.Release()
//		…
//	case <-time.After(time.Second):
//		…
//	}
//
// [Limiter.WaitChan] is the same for a turn.
//
// # What is promised
//
// While Redis keeps what it was told, its clock does not leap, and nobody else deletes its
// keys, the leases that are held at the same time have no more permits than the semaphore
// has, but for what was in use when a Resize made it smaller. Held means: granted,
// and neither released nor lost.
//
// No more than burst + limit·t events are let through in any time t, as counted
// by the clock of Redis, while Redis keeps what it was told and its clock does not
// leap forward. Set back, the clock stands still for a limiter until the next
// decision, and goes on from there. Who waits is let through by its own clock, a
// network's delay after its turn: never early, but events may come closer to one
// another than their turns were.
//
// # Loss, and fences
//
// Permits are lost if they cannot be renewed in time, if Redis has forgotten them, or if
// they were to be held no longer than MaxHold. Acquire cannot tell of that, a [Lease] does:
// by [Lease.Done], [Lease.Err], its [Lease.Context], which is cancelled with the cause
// [ErrLost], and by what [Lease.Release] returns. A holder that is cut off is told before Redis
// can give its permits to another. As with every lease, a process that is paused
// between a check and what the check was for goes on without. [Lease.Fence] names a hold, for
// a storage that keeps a list of those that are valid; of holds that go on at the same time it says
// no order, so it cannot be compared as that of a mutex can.
//
// # Misuse
//
// What cannot be used, such as an empty key, a size of 0 or a negative limit,
// is refused by the first operation, before anything is written: with an error, or
// with a panic where there is no error to return. A nil ctx, a nil function and
// the methods of a nil Lease panic.
package semaphore
