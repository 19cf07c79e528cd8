// Package mutex provides mutual exclusion between goroutines of any number of
// processes, over Redis, with the methods of [sync.Mutex] and with leases.
//
// The main path is two lines, as with sync:
//
//	mu := mutex.New(rdb, "orders")
//	mu.Lock()
//	defer mu.Unlock()
//
// Who cares about failure takes a [Lease] instead, by [Mutex.LockContext] or
// [Mutex.Do], and who waits for several things takes it in a select, by
// [Mutex.LockChan]:
//
//	select {
//	case r := <-mu.LockChan(ctx):
//		if r.Err != nil {
//			return r.Err
//		}
//		defer r.Lease.Unlock()
//		…
//	case <-time.After(time.Second):
//		…
//	}
//
// A [Pool] has such a lock for each of any number of keys, and locks several of
// them at once.
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
// means: granted, and neither released nor lost. A holder that is cut off from
// Redis is told of its loss, by [Lease.Done] and by the ctx of [Lease.Context],
// before Redis can give the lock to another. Nothing is held for longer than
// TTL by a process that has died.
//
// # What is not, and fencing
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
