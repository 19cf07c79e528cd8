// Package waitgroup waits for work that runs in any number of processes, over Redis.
// It notices when a process dies with its work undone. [WaitGroup] has the methods of
// [sync.WaitGroup]:
//
//	wg := waitgroup.New(rdb, "import:42")
//	wg.Go(func() { … })
//	wg.Wait() // for the work of all processes
//
// # Two ways to count
//
// A task belongs to a process. Use Do or Go when each process starts its own work:
//
//	err := wg.Do(ctx, func(ctx context.Context) error { … })
//
// A count belongs to no process. Use it when one process knows how much work there is
// and others claim it:
//
//	err := wg.AddContext(ctx, len(jobs)) // in the coordinator
//	err = wg.WaitContext(ctx)
//
//	task, err := wg.Claim(ctx) // in a worker, for each job
//	…
//	err = task.Done()
//
// A task is a lease, which its process renews in the background. If the process dies,
// the task is abandoned within TTL, and the wait ends with an [AbandonedError]. Add
// only changes a counter. If the process that should call Done dies, nobody notices.
//
// # Generations
//
// A generation begins when something is added to an empty group, and is finished when
// nothing is left. A wait is for the generation that runs when the wait begins. It
// returns once that is finished, even if the next one has begun. A wait on an empty
// group returns the result of the last generation.
//
// # Guarantees
//
// While Redis keeps its data and nobody else deletes the keys, a wait returns nil only
// when everything in its generation is done. It returns an AbandonedError only when
// nothing but abandoned tasks is left, within TTL and 1.2 s after a crash. Each
// operation counts once, however often its request is sent.
//
// Abandoned work may have been done, or may still run: a process that is cut off or
// paused for longer than TTL loses its tasks. Protect work that must not run twice with
// a lock and its fencing token. If Redis loses the group, waits return [ErrLost]. A group
// expires after a day without changes or renewals, and 65 minutes after a generation.
//
// # Errors
//
// While Redis is unreachable, operations retry with backoff until ctx is done, and then
// return both errors. Permanent errors, such as missing ACL permissions or a key of the
// wrong type, are returned at once. Methods without an error panic on them.
package waitgroup
