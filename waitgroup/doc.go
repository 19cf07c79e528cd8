// Package waitgroup waits for work that runs in any number of processes, over Redis. If a
// process dies, the tasks that it has started or claimed are reported as abandoned.
// [WaitGroup] has the methods of [sync.WaitGroup]:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	wg := waitgroup.New(rdb, "import:42")
//	wg.Go(func() { … })
//	wg.Wait() // for the work of all processes
//
// Create one client per process and share it. The package treats two clients as two
// processes.
//
// The key of a group is a real key in Redis, so store nothing else under it. All WaitGroups
// with the same key count together. No lock, semaphore or limiter can use that key.
//
// An option is a field. Set it before first use. TTL is how long a task lasts without a
// renewal: 10 s by default. Two more fields are optional. Label is a text that Inspect
// shows. Trace has hooks for metrics, logs and spans.
//
// # Two ways to count
//
// A task belongs to a process. Use Do or Go when each process starts its own work:
//
//	err := wg.Do(ctx, func(ctx context.Context) error { … })
//
// A count belongs to no process. Use a count when one process knows how much work there is,
// and other processes claim the work:
//
//	err := wg.AddContext(ctx, len(jobs)) // in the coordinator
//	err = wg.WaitContext(ctx)
//
//	for { // in a worker
//		task, err := wg.Claim(ctx)
//		if err != nil {
//			return err // ErrNothingToClaim: everything is done or claimed
//		}
//		…
//		err = task.Done()
//	}
//
// A task is a lease, which its process renews in the background. If the process dies, the
// task is abandoned within TTL. Abandoned tasks do not block a wait. Once nothing else is
// left, WaitContext returns an [AbandonedError], for which errors.Is(err, ErrAbandoned) is
// true. Wait panics with it.
//
// Add only changes a counter. If the process that should call WaitGroup.Done dies, the
// count stays, and waits do not return.
//
// # Generations
//
// A generation begins when something is added to an empty group, and is finished when
// nothing is left. A call of Wait waits for the generation that is in progress when the
// call begins. It returns once that generation is finished, even if the next one has begun.
// On an empty group it returns the result of the last generation.
//
// # Guarantees
//
// While Redis keeps its data and nobody else deletes the keys, a wait returns nil only when
// everything in its generation is done. If only abandoned tasks are left, it returns an
// AbandonedError, at most TTL plus 1.2 s after the process of those tasks died. If a reply
// is lost, the request is sent again, but it counts only once.
//
// Abandoned work may have been done, or may still run: a process that is cut off or paused
// for longer than TTL loses its tasks. Protect work that must not run twice with a lock and
// its fencing token. If Redis loses the group, waits return ErrLost. An unfinished group
// expires after a day without changes or renewals. A finished group expires after 65
// minutes.
//
// # Errors
//
// [Task.Done] and [Task.Err] return [ErrLost] if the task was lost, and a wait returns it
// if Redis lost the group. Claim returns [ErrNothingToClaim] if the counter is 0.
//
// While Redis is unreachable, operations retry with backoff until ctx is done. Their error
// then wraps ctx's error and the last Redis error. Permanent errors, such as missing ACL
// permissions or a key of the wrong type, are returned at once. Add, Done, Go and Wait
// panic on them.
package waitgroup
