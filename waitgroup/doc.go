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
// # What differs from sync
//
// Processes may die, so that there are two ways to be counted:
//
// What Add adds is a number. It knows of no process, so that nobody notices when
// the one dies that was to call Done, or when none is left that would join: who
// adds sees to it that somebody does. A task, which Go, GoContext and Join have, is
// a lease: it is renewed for as long as its process lives, and ends within TTL
// of the process's death. It is then counted as abandoned, and those who wait are
// told how many were, by an [AbandonedError], once nothing else is left.
//
// Operations take a round trip to Redis, and wait for it while it is away. Wait and Add
// panic where [WaitGroup.WaitContext] and [WaitGroup.AddContext] return an error, for they
// have no other way to say it.
//
// # In a select
//
//	over := wg.WaitChan(ctx)
//	for {
//		select {
//		case err := <-over:
//			return err
//		case <-progress.C:
//			…
//		}
//	}
//
// # Rounds
//
// A round begins when something is added to a group that has nothing, and is over
// when nothing is left of it. A wait is for the round that goes on when it begins:
// it returns when that is over, whatever has been added since. So a group can be
// used again at once. A wait that finds nothing to wait for returns at once what
// became of the last round.
//
// # What is promised
//
// While Redis keeps what it was told, and nobody else deletes its keys, a wait returns nil
// only when all that was added to its round is done, and an [AbandonedError] only when
// nothing is left of it but what was abandoned. Every change counts once, however often its
// command is sent. Who waits for the task of a process that dies is told within TTL and
// 1.2 s of the death.
//
// # Loss
//
// A task is lost if it cannot be renewed in time, or if Redis has forgotten its group. It is
// told by the ctx of GoContext or [Task.Context], which is cancelled with the cause
// [ErrLost], and by [Task.Err] and [Task.Done]: if it is cut off, before those who wait can be.
//
// # What is not promised
//
//   - That abandoned work was not done, or is not being done: a process that is cut off,
//     or paused for longer than TTL, loses its tasks too. The ctx of GoContext, or
//     [Task.Context], is cancelled then. Work that must not be done twice needs
//     a lock with a fence.
//   - Anything, once Redis has lost the group, or what it remembers of operations: evicted,
//     deleted, or not written to the replica that takes over. Those who wait get [ErrLost] when
//     they find that it has gone, and those who say that something is done [ErrNegative].
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
