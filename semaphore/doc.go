// Package semaphore limits the work of any number of processes, over Redis. A
// [Weighted] limits how much work runs at the same time. A [Limiter] limits how
// often work starts. They work like golang.org/x/sync/semaphore and
// golang.org/x/time/rate:
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
// A permit is returned when the work is done. Use a Weighted for resources that are
// occupied: connections, memory, CPUs. A token is spent, and new ones come over
// time. Use a Limiter for quotas: requests to an API per second, mails per minute. To use both,
// acquire the permit first and wait for the token last, just before the call.
//
// # Differences from x/time/rate
//
// Allow, Wait, WaitN, Limit and Burst have the signatures of rate.Limiter. These differ:
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
// free again within TTL. Acquire cannot report lost permits. If that matters, use
// [Weighted.AcquireLease], which gives you a [Lease], or [Weighted.Do], which cancels its
// function's ctx. For a select, [Weighted.AcquireChan] and [Limiter.WaitChan] return a
// channel.
//
// # Guarantees
//
// The guarantees hold while Redis keeps its data, the server's clock does not jump,
// and nobody else deletes the keys. All leases together hold no more permits than the
// size, except after a [Weighted.Resize] to a smaller one. Then holders keep what they have
// until they release it.
// A holder that loses contact with Redis learns of it before Redis can grant its
// permits to another process. A limiter admits at most burst + limit×t events in any
// period t, by the server's clock.
//
// # Errors
//
// While Redis is unreachable, Acquire and Wait retry with backoff until ctx is done.
// Acquire then returns ctx.Err(), as in x/sync. AcquireLease and Wait also wrap the last
// Redis error. Permanent errors, such as missing ACL permissions or a key of the wrong
// type, are returned at once; methods that return no error panic.
package semaphore
