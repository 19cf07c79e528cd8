// Package mutex provides mutual exclusion between goroutines of any number of
// processes, over Redis. [Mutex] and [RWMutex] have the methods of [sync.Mutex]
// and [sync.RWMutex]. [Pool] has one mutex for each of any number of keys. [Election]
// lets one of many candidates lead. [Once] runs a function once in all processes, and
// [Flight] makes a value once for all who ask.
//
//	mu := mutex.New(rdb, "orders")
//	mu.Lock()
//	defer mu.Unlock()
//
// # Leases
//
// A held lock is a lease, which its process renews in the background. If the
// process dies, the lease expires within TTL. A lease can also be lost: Redis may
// delete the key, or be unreachable for too long. Lock cannot report a lost lock.
// If that matters, use LockContext or Do, which give you a [Lease]:
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
// Unlock hands the lock to the next waiter and notifies only that waiter.
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
// the fencing token: see [Lease.Fence].
//
// # Failovers
//
// A failover to a replica forgets the writes that the replica has not received. The old
// holder then still holds, until its next renewal at most, and another process may get
// the lock. Replicas, a field of [Mutex], [RWMutex] and [Pool], makes a grant wait until
// replicas have confirmed it, by the command WAIT. That takes one round trip more for each
// grant by Redis; goroutines of a process pass the lock on without it. A renewal that is
// not confirmed does not count, so a hold is lost if its replicas are away for longer than
// TTL.
//
// Replicas narrows what a failover can forget. Three ways remain:
//
//   - A replica is promoted that has not confirmed: with Replicas: 1 and two replicas, the
//     other one. Use AllReplicas, or as many that every candidate has confirmed.
//   - A replica that has lost its connection to the master is promoted. AllReplicas counts
//     connected replicas only. Set min-replicas-to-write to the number of replicas.
//   - A replica confirms, and restarts without its data. Set appendonly on replicas.
//
// In all of them the fencing token protects the data. A store whose writes survive a
// failover, such as Amazon MemoryDB, needs no Replicas.
//
// In a cluster, these requests go to the node of the key: hooks of the nodes see them, a
// hook of the ClusterClient does not.
//
// # Errors
//
// While Redis is unreachable, Lock waits and retries with backoff. LockContext
// does so until ctx is done, and then returns both errors. Permanent errors, such
// as missing ACL permissions or a key of the wrong type, are returned at once.
// Lock and TryLock panic on them.
package mutex
