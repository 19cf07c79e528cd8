// Package semaphore limits the work of any number of processes, over Redis. A
// [Weighted] limits how much work runs at the same time. A [Limiter] limits how
// often work starts. They work like golang.org/x/sync/semaphore and
// golang.org/x/time/rate:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
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
// Create one client per process and share it. The package treats two clients as two
// processes.
//
// The key is a real key in Redis, so store nothing else under it. All Weighteds with the
// same key share its permits, and all Limiters with the same key share its tokens. A
// Weighted and a Limiter cannot use the same key.
//
// # Which one
//
// A permit is returned when the work is done. Use a Weighted for resources that are
// occupied: connections, memory, CPUs. A token is spent, and new ones come over time. Use a
// Limiter for quotas: requests to an API per second, mails per minute. To use both, acquire
// the permit first and wait for the token last, just before the call.
//
// # Differences from x/sync/semaphore
//
// Acquire, TryAcquire and Release have the signatures of semaphore.Weighted. The size is
// stored in Redis: a process that passes another size to NewWeighted gets
// [ErrSizeMismatch]. Use [Weighted.Resize] to change the size. Permits can be lost. The
// comment of Weighted lists all differences.
//
// # Differences from x/time/rate
//
// Allow, Wait, WaitN, Limit and Burst have the signatures of rate.Limiter. The following
// are different (left: x/time/rate, right: this package):
//
//	rate.NewLimiter(r, b)   NewLimiter(rdb, key, r, burst)
//	AllowN(t, n)            AllowN(n), at the server's time
//	Reserve                 WaitChan
//	ReserveN                none
//	SetLimit, SetBurst      NewLimiter with the same key
//	Tokens                  Inspect, in one request
//	TokensAt                none
//
// The n of AllowN and WaitN must be positive. The burst is at most 2^52.
//
// # Leases
//
// Permits are leased. Their process renews them in the background. If it dies, they become
// free again within TTL. Acquire cannot report lost permits. To learn of a loss, use
// [Weighted.AcquireLease] or [Weighted.Do]. AcquireLease returns a [Lease]. Do cancels the
// ctx of its function when the permits are lost. [Weighted.TryAcquireLease] does not wait:
// it returns [ErrNotAvailable] if too few permits are free. For a select,
// [Weighted.AcquireChan] and [Limiter.WaitChan] return a channel.
//
// [Lease.Fence] identifies a hold. It does not order holds, because holds overlap.
//
// # Options
//
// An option is a field. Set it before first use. TTL is how long a lease lasts without a
// renewal: 10 s by default. A Weighted also has these optional fields:
//
//   - Linger: after Release the process keeps the permits for a moment, so that it can
//     acquire as many again without a request.
//   - MaxHold: a forgotten Release does not keep its permits for days.
//   - NotifyContention: when another process begins to wait, a message closes the channel
//     of [Lease.Contended] at once. Otherwise the next renewal closes it.
//   - Replicas: replicas must confirm each grant.
//   - Label: a text that Inspect shows next to host and PID.
//   - Trace: hooks for metrics, logs and spans. A Limiter has it, too.
//
// # Guarantees
//
// The guarantees hold while Redis keeps its data, the server's clock does not jump,
// and nobody else deletes the keys. All leases together hold no more permits than the
// size, except after a [Weighted.Resize] to a smaller one. Then holders keep what they have
// until they release it.
//
// A holder that loses contact with Redis learns of it before Redis can grant its
// permits to another process. A limiter admits at most burst + limit×t events in any
// period t, by the server's clock.
//
// # Errors
//
// [Lease.Release] and [Lease.Err] return [ErrLost] after a loss. AcquireLease returns
// [ErrExceedsSize] for more permits than the size.
//
// While Redis is unreachable, Acquire and Wait retry with backoff until ctx is done.
// Acquire then returns ctx.Err(), as in x/sync. The errors of AcquireLease and Wait wrap
// ctx's error and the last Redis error. Permanent errors, such as missing ACL permissions
// or a key of the wrong type, are returned at once. TryAcquire, Allow and AllowN panic on
// them.
package semaphore
