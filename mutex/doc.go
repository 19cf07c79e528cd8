// Package mutex provides mutual exclusion between goroutines of any number of
// processes, over Redis. [Mutex] and [RWMutex] have the methods of [sync.Mutex]
// and [sync.RWMutex]. [Pool] has a mutex for every key. [Election] lets one of many
// candidates lead. [Once] runs a function in only one of all processes. [Flight] computes
// a value once for all callers.
//
//	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	mu := mutex.New(rdb, "orders")
//	mu.Lock()
//	defer mu.Unlock()
//
// Create one client per process and share it. The package treats two clients as two
// processes.
//
// The key of a lock is a real key in Redis, so store nothing else under it. Mutex, Pool,
// Election, Once and Flight lock a key in the same way, and exclude one another if they use
// the same key. A RWMutex needs a key of its own.
//
// # Leases
//
// A held lock is a lease, which its process renews in the background. If the
// process dies, the lease expires within TTL. A lease can also be lost: Redis may
// delete the key, or be unreachable for too long. Lock cannot report a lost lock.
// To learn of a loss, use LockContext or Do. LockContext returns a [Lease]. Do cancels
// the ctx of its function when the lock is lost.
//
//	lease, err := mu.LockContext(ctx)
//	if err != nil {
//		return err // ctx is done, or the error is permanent
//	}
//	defer lease.Unlock()
//	ctx, stop := lease.Context(ctx) // canceled if the lock is lost
//	defer stop()
//
// For a select, [Mutex.LockChan] returns a channel that receives the [Result].
// Unlock hands the lock to the next waiter and notifies only that waiter. Goroutines of a
// process get the lock in the order of their calls, and processes take turns.
//
// # Options
//
// An option is a field. Set it before first use. TTL is how long a lease lasts without a
// renewal: 10 s by default. Mutex, RWMutex and Pool also have these optional fields:
//
//   - Linger: after Unlock the process keeps the lock for a moment, so that it can lock the
//     same key again without a request.
//   - MaxHold: a forgotten Unlock does not keep the lock for days.
//   - NotifyContention: when another process begins to wait, a message closes the channel
//     of [Lease.Contended] at once. Otherwise the next renewal closes it.
//   - Replicas: replicas must confirm each grant.
//   - Label: a text that Inspect shows next to host and PID.
//   - Trace: hooks for metrics, logs and spans.
//
// # Guarantees
//
// A mutex has at most one holder at a time, under three conditions: Redis keeps its
// data, the server's clock does not jump, and nobody else deletes the key. A holder
// that loses contact with Redis learns of it from its own clock, before Redis can
// grant the lock to another process.
//
// No lease can protect data by itself. A process may be paused between checking
// its lease and writing, and a failover may lose a lock. Protect shared data with
// the fencing token: see [Lease.Fence]. Inside the function of a Once or Flight,
// [LeaseFromContext] returns the lease.
//
// # Errors
//
// [Lease.Unlock] and [Lease.Err] return [ErrLost] after a loss. TryLockContext returns
// [ErrLocked] if the lock is held or has waiters.
//
// While Redis is unreachable, Lock waits and retries with backoff. LockContext
// retries until ctx is done. Its error then wraps ctx's error and the last Redis error.
// Permanent errors, such as missing ACL permissions or a key of the wrong type, are
// returned at once. Lock and TryLock panic on them.
//
// [Check] reports what a Redis server supports. Inspect shows the holder and the waiters of
// a lock.
//
// # Failovers
//
// A failover to a replica forgets the writes that the replica has not received. Another
// process may then get the lock, and the old holder learns of it at its next renewal. If
// Replicas is set, a grant counts only after that many replicas have confirmed it, by the
// command WAIT. [Mutex], [RWMutex] and [Pool] have this field. With Replicas set, each
// grant by Redis takes one more round trip. A hand-over inside a process does not. An
// unconfirmed renewal does not extend the hold. If no renewal is confirmed for about one
// TTL, the lock is lost.
//
// With Replicas, a failover can still forget a grant in three cases:
//
//   - The promoted replica is not one that confirmed. This can happen with two replicas and
//     Replicas: 1. Use AllReplicas, or the number of replicas.
//   - A replica that has lost its connection to the master is promoted. AllReplicas counts
//     connected replicas only. Set min-replicas-to-write to the number of replicas.
//   - A replica confirms, restarts without its data, and is then promoted. Set appendonly
//     on replicas.
//
// In all of them the fencing token protects the data. A store whose writes survive a
// failover, such as Amazon MemoryDB, needs no Replicas.
//
// In a cluster, the package sends WAIT by the go-redis client of the node that has the key.
// Hooks of the ClusterClient do not see these requests.
package mutex
