// Package mutex provides mutual exclusion between goroutines of any number of
// processes, over Redis, with the methods of [sync.Mutex] and [sync.RWMutex], and
// with leases.
//
// The main path is as with sync:
//
//	mu := mutex.New(rdb, "orders")
//	mu.Lock()
//	defer mu.Unlock()
//
// There are three types: [Mutex], [RWMutex], and [Pool], which has a lock for each of
// any number of keys, and locks several of them at once.
//
// # What differs from sync
//
// A network is in the way, and a process can die without unlocking. So a hold is a
// lease: it is renewed for as long as its process lives, ends within TTL of the
// process's death, and can be lost. Lock cannot tell of that. Who cares takes a
// [Lease], by [Mutex.LockContext] or [Mutex.Do]:
//
//	lease, err := mu.LockContext(ctx)
//	if err != nil {
//		return err // ctx has ended, or waiting cannot help
//	}
//	defer lease.Unlock()
//	ctx, stop := lease.Context(ctx) // is cancelled if the lock is lost
//	defer stop()
//
// Lock waits for Redis to come back, and panics on what waiting cannot cure: a
// user without the rights, a key of another type. It is fair, between
// processes too.
//
// # In a select
//
//	wait, cancel := context.WithCancel(ctx)
//	defer cancel() // ends the wait; a lock that comes too late is given back
//
//	select {
//	case r := <-mu.LockChan(wait):
//		if r.Err != nil {
//			return r.Err
//		}
//		defer r.Lease.Unlock()
//		…
//	case <-time.After(time.Second):
//		…
//	}
//
// A channel yields one [Result], once, and is never closed. What lies in it when
// ctx ends is given back; what nobody receives is given back after one TTL.
//
// # How it waits
//
// Nobody polls for the lock. Who releases it makes the next in line the owner,
// in the same step, and tells that one and nobody else. Inside a process the
// lock passes from goroutine to goroutine without a request to Redis. Should a
// message get lost, a request about once a second finds out.
//
// # What is promised
//
// While Redis keeps what it was told, its clock does not leap, and nobody else
// deletes its keys, no two leases of a key are held at the same time, where held
// means: granted, and neither released nor lost. Nothing is held for longer than
// TTL by a process that has died.
//
// # Loss
//
// A hold is lost if it cannot be renewed in time, if Redis has forgotten it, or if it
// was to be held no longer than MaxHold. A holder that is cut off from Redis is told
// by its own clocks, before Redis can give the lock to another: [Lease.Done] is closed,
// the ctx of [Lease.Context] is cancelled with the cause [ErrLost], [Lease.Err] and
// [Lease.Unlock] return it. One whose lock Redis has forgotten is told by
// the next renewal. [Lease.Left] says how long the hold lasts without one.
//
// # What is not promised, and fencing
//
// A lease cannot stop a process that is paused between a check and the write
// that the check was for, nor does Redis keep a lock that a failover has lost,
// or that is evicted, flushed or deleted by hand. So what must never be written
// by two holders has to defend itself. Each lease has a [Lease.Fence], a number
// above that of every earlier hold on the key. Send it with each write, and with
// each read that a write will depend on, and have the storage refuse a number
// below the highest it has seen.
//
// # Watching it
//
// [Mutex.Inspect] says who holds a lock and who waits for it. A [Trace] is told what
// becomes of each request and each hold: how long it waited, whether it was handed
// over, how long it was held, why it was lost. Nothing is logged by this package.
//
// # Misuse
//
// What cannot be used, such as an empty key or a TTL of a microsecond,
// is refused by the first operation, before anything is written: with an error, or
// with a panic where there is no error to return. A nil ctx, a nil function and
// the methods of a nil Lease panic.
//
// # Not offered
//
// There is no re-entrancy: a goroutine that locks twice waits for itself, as with
// sync. There is no upgrade, and no majority over several Redis servers
// (Redlock): it does not go together with a queue.
package mutex
