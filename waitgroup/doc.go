// Package waitgroup waits for work that runs in other processes, over Redis, also
// when they die.
//
// Most callers want one of two shapes. Where each process starts work of its own,
// [WaitGroup.Go] or [WaitGroup.GoContext]:
//
//	wg := waitgroup.New(rdb, "import:42")
//	err := wg.GoContext(ctx, func(ctx context.Context) error { … })
//
// Where one process knows how much there is to do, and others do it, it adds, they
// join, and it waits:
//
//	err := wg.AddContext(ctx, len(jobs))        // here
//
//	task, err := wg.Join(ctx)                   // elsewhere, for each job
//	…
//	err = task.Done()
//
//	err := wg.WaitContext(ctx)                  // here
//
// # What is counted
//
// What Add adds is a number. It knows of no process, so that nobody notices when
// the one dies that was to call Done, or when none is left that would join: who
// adds sees to it that somebody does. A task, which Go, GoContext and Join have, is
// a lease: it is renewed for as long as its process lives, and ends within TTL
// of the process's death. It is then counted as abandoned, and those who wait are
// told how many were, by an [AbandonedError], once nothing else is left.
//
// # Rounds
//
// A round begins when something is added to a group that has nothing, and is over
// when nothing is left of it. A wait is for the round that goes on when it begins:
// it returns when that is over, whatever has been added since. So a group can be
// used again at once. A wait that finds nothing to wait for returns at once what
// became of the last round.
//
// # What is not promised
//
//   - That abandoned work was not done, or is not being done: a process that is cut off,
//     or paused for longer than TTL, loses its tasks too. The ctx of GoContext, or
//     [Task.Context], is cancelled then. Work that must not be done twice needs
//     a lock with a fence.
//   - Anything, once Redis has lost the group, or what it remembers of operations: evicted,
//     deleted, or not written to the replica that takes over. Those who wait get [ErrLost] when they find that
//     it has gone, or [ErrNegative] when they say that something is done.
//   - That a group is kept for ever. One in which nothing happens, not even the renewal of
//     a task, expires after a day; one that is over, after 65 minutes.
//
// # Misuse
//
// What cannot be used, such as an empty key or a delta above 2^31,
// is refused by the first operation, before anything is written: with an error, or
// with a panic where there is no error to return. A nil ctx, a nil function and
// the methods of a nil Task panic.
//
// # Repeated commands
//
// Every Add and Done has a number, which Redis remembers until its answer has
// arrived, and for an hour at least. A command that is sent again because
// its answer was lost counts once. Each WaitGroup that has changed something leaves
// a small key for that, "baton:{key}:operations:" and a name of its own, for 65 minutes
// after its last change: make one for a key and keep it, rather than one for each call.
package waitgroup
