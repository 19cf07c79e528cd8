package faults

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// lockKinds has locks whose keys are in the slot of "{t}".
func lockKinds(ttl time.Duration) map[string]func(context.Context, redis.UniversalClient) <-chan mutex.Result {
	return map[string]func(context.Context, redis.UniversalClient) <-chan mutex.Result{
		"{t}Mutex": func(ctx context.Context, rdb redis.UniversalClient) <-chan mutex.Result {
			return mutexAt(rdb, "{t}Mutex", ttl).LockChan(ctx)
		},
		"{t}RWMutex": func(ctx context.Context, rdb redis.UniversalClient) <-chan mutex.Result {
			m := mutex.NewRW(rdb, "{t}RWMutex")
			m.TTL = ttl
			return m.LockChan(ctx)
		},
		"{t}Pool": func(ctx context.Context, rdb redis.UniversalClient) <-chan mutex.Result {
			p := mutex.NewPool(rdb, "{t}")
			p.TTL = ttl
			return p.LockChan(ctx, "Pool", "another", "third")
		},
	}
}

// awaitWaiter waits until a key of the slot of "{t}" has a waiter.
func awaitWaiter(t *testing.T, c *redistest.Cluster, key string) {
	t.Helper()
	redistest.Eventually(t, redistest.Patience, func() bool {
		return c.Owner(t, c.Slot(t, "{t}")).Do(t, "ZCARD", "baton:{t}:queue:"+key) == int64(1)
	}, "%s has a waiter", key)
}

// TestClusterSlotMoves moves the slot of locks and of a group, which are held and awaited, to another master
// and back (rows 9 and 10): first key by key. Holds and tasks are renewed throughout, because a renewal names
// one key. Commands with several keys get TRYAGAIN and are retried: an unlock, waits, the end of a task.
// The end of the group is published on all nodes (row 11).
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	const ttl = 1500 * time.Millisecond
	type state struct {
		held     *mutex.Lease
		next     <-chan mutex.Result
		unlocked chan error
	}
	c := redistest.StartCluster(t, 2)
	slot, kinds, all := c.Slot(t, "{t}"), lockKinds(ttl), map[string]*state{}
	for key, lock := range kinds {
		held := grant(t, "to lock", lock(t.Context(), c.Client(t)), poll)
		all[key] = &state{held, lock(t.Context(), c.Client(t)), make(chan error, 1)}
		awaitWaiter(t, c, key)
	}
	wg, there := waitgroup.New(c.Client(t), "{t}"), waitgroup.New(c.Client(t), "{t}")
	wg.TTL = ttl
	wg.Add(1)
	task, waited, done := claim(t, wg), there.WaitChan(t.Context()), make(chan error, 1)
	refused := c.Errors(t, "TRYAGAIN")
	move := c.Migrate(t, slot)
	move.Move(t, "{t}")
	for key := range all {
		move.Move(t, key)
	}
	expectNone(t, "a wait for a live task", waited, ttl) // the renewals during this time are under test
	for key, x := range all {
		expectExcluded(t, x.next, 0)
		if err := x.held.Err(); err != nil {
			t.Errorf("%s: the hold is lost: %v", key, err)
		}
		go func() { x.unlocked <- x.held.Unlock() }()
	}
	go func() { done <- task.Done() }()
	expectNone(t, "the end of a task while its keys are on two nodes", done, 100*time.Millisecond)
	for _, x := range all {
		expectExcluded(t, x.next, 0)
	}
	if n := c.Errors(t, "TRYAGAIN") - refused; n < int64(len(all)) {
		t.Errorf("%d scripts were refused", n)
	}
	move.Finish(t)
	start := time.Now()
	for key, x := range all {
		check(t, receive(t, "the unlock of "+key, x.unlocked, start, poll))
		r := receive(t, "the grant after the move", x.next, start, poll)
		check(t, r.Err)
		expectFencesGrow(t, x.held, r.Lease)
		x.held, x.next = r.Lease, kinds[key](t.Context(), c.Client(t))
		awaitWaiter(t, c, key)
	}
	check(t, receive(t, "the end of the task", done, start, poll))
	check(t, receive(t, "the wait", waited, start, poll))

	wg.Add(1)
	task, waited = claim(t, wg), there.WaitChan(t.Context())
	c.Migrate(t, slot).Finish(t)
	expectNone(t, "a wait for a live task", waited, ttl)
	check(t, task.Done())
	check(t, receive(t, "the wait after the move", waited, time.Now(), 0))
	for _, x := range all {
		unlock(t, x.held)
		last := grant(t, "the hand-over after the move", x.next, 0)
		expectFencesGrow(t, x.held, last)
		unlock(t, last)
	}
}

// TestClusterSlotBeginsToMove releases a lock with a waiter, and ends the last task of a group, while the
// slot is being moved and all its keys are still on the old node (row 9). If a script deleted a key, Redis
// would refuse the script's further access to it: the script would end half done, and the lock would
// have no owner, or the group no end.
func TestClusterSlotBeginsToMove(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	a, b := c.Client(t), c.Client(t)
	var answered atomic.Int64 // replies to scripts of the holder, including go-redis' retries
	a.AddHook(redistest.Scripts(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		defer answered.Add(1)
		return next(ctx, cmd)
	}))
	for key, lock := range lockKinds(ample) {
		held := grant(t, "to lock", lock(t.Context(), a), poll)
		next := lock(t.Context(), b)
		awaitWaiter(t, c, key)
		stop := c.BeginMigration(t, c.Slot(t, "{t}"))
		before, unlocked := answered.Load(), make(chan error)
		go func() { unlocked <- held.Unlock() }()
		redistest.Eventually(t, redistest.Patience, func() bool { return answered.Load() > before }, "the release is sent")
		stop()
		check(t, <-unlocked)
		r := <-next
		check(t, r.Err)
		unlock(t, r.Lease)
	}
	here, there := waitgroup.New(a, "group"), waitgroup.New(b, "group")
	check(t, here.Do(t.Context(), func(context.Context) error {
		c.BeginMigration(t, c.Slot(t, "group"))
		return nil
	}))
	check(t, there.WaitContext(t.Context()))
}

// TestClusterSlotMovesUnderBatches locks keys from many goroutines, so that commands are sent in
// batches, while a slot moves to another node, a node joins, and the slot moves again (rows 9 and
// 10). Redirections are followed, and no call fails.
func TestClusterSlotMovesUnderBatches(t *testing.T) {
	const goroutines = 64
	c := redistest.StartCluster(t, 2)
	moved := c.Errors(t, "MOVED") // skips the test on servers that do not count errors
	rdb := c.Client(t)
	checkPipelines := watchPipelines(rdb)
	ctx, stop := context.WithCancel(t.Context())
	var locked atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i := range goroutines {
		m := mutex.New(rdb, fmt.Sprint([]string{"{t}", "key"}[i%2], i)) // half of them are in the moving slot
		wg.Go(func() {
			for ctx.Err() == nil {
				use(t, m)
				locked.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		before := locked.Load()
		redistest.Eventually(t, redistest.Patience, func() bool { return locked.Load() > before+10*goroutines }, "the goroutines continue")
	}
	more()
	for range 3 { // the third move is to or from the new node
		move := c.Migrate(t, c.Slot(t, "{t}"))
		more()
		move.Finish(t)
		more()
		if len(c.Nodes) == 2 {
			c.Join(t)
		}
	}
	expectFault(t, "commands were redirected", c.Errors(t, "MOVED")-moved, 0)
	checkPipelines(t, 10_000)
}

// TestClusterSlotMovesWhileClaimsLinger moves the slot of a lock (rows 9 and 74): key by key, or in one
// step with the writes paused for longer than a TTL. One process locks the key repeatedly without requests,
// another locks it sometimes. They always exclude each other, and continue. No
// lease is lost while all keys can be read.
func TestClusterSlotMovesWhileClaimsLinger(t *testing.T) {
	each(t, map[string]bool{"KeyByKey": false, "AtOnce": true}, func(t *testing.T, atOnce bool) {
		ttl := 2 * ample
		if atOnce {
			ttl = 2 * time.Second
		}
		c := redistest.StartCluster(t, 2)
		slot := c.Slot(t, "key")
		often, seldom := mutexOf(c.Client(t), ttl), mutexOf(c.Client(t), ttl)
		often.Linger = ttl / 10
		x := contend(t, map[*mutex.Mutex]time.Duration{often: time.Millisecond, seldom: 100 * time.Millisecond})
		for move := range 3 {
			oftenBefore, seldomBefore := x.holds[often].Load(), x.holds[seldom].Load()
			redistest.Eventually(t, 2*redistest.Patience, func() bool {
				return x.holds[often].Load() > oftenBefore+20 && x.holds[seldom].Load() > seldomBefore+3
			}, "both continue after %d moves", move)
			switch refused := c.Errors(t, "TRYAGAIN"); {
			case move == 2:
			case atOnce:
				c.MoveAtOnce(t, slot, 2*ttl)
			default:
				m := c.Migrate(t, slot)
				m.Move(t, "key")
				redistest.Eventually(t, redistest.Patience, func() bool { return c.Errors(t, "TRYAGAIN") > refused }, "scripts are refused while the keys are on two nodes")
				m.Finish(t)
			}
		}
		if x.end(); !atOnce {
			x.expectNoLoss()
		}
	})
}

// TestClusterSlotMovesAtOnce moves the slots of locks and a group as newer servers do (row 74): writes
// pause, all keys are copied, and the slot changes its owner in one step. A lease or a task longer than the
// pause is kept. A shorter one is lost, and the loss is reported before another process gets the lock.
func TestClusterSlotMovesAtOnce(t *testing.T) {
	t.Parallel()
	const short, pause, long = 2 * time.Second, 4 * time.Second, 20 * time.Second
	c := redistest.StartCluster(t, 2)
	kept := lock(t, mutexAt(c.Client(t), "{key}long", long))
	gone := lock(t, mutexAt(c.Client(t), "{key}short", short))
	next := mutexAt(c.Client(t), "{key}short", ample).LockChan(t.Context())
	slot := c.Slot(t, "key")
	from := c.Owner(t, slot)
	redistest.Eventually(t, redistest.Patience, func() bool { return from.Do(t, "ZCARD", "baton:{key}:queue:{key}short") == int64(1) }, "the waiter is queued")
	here, there := groupOf(c.Client(t), long), groupOf(c.Client(t), short)
	here.Add(2)
	task, lostTask := claim(t, here), claim(t, there)
	waited := groupOf(c.Client(t), long).WaitChan(t.Context())
	redistest.Eventually(t, redistest.Patience, func() bool {
		return c.Nodes[0].Subscribers(t, "baton:{key}:done")+c.Nodes[1].Subscribers(t, "baton:{key}:done") == 1
	}, "the waiter is subscribed")
	ctx, stop := lostTask.Context(t.Context())
	defer stop()

	done := gone.Done()
	from.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
	start := time.Now()
	expectLoss(t, gone, done, start, short)
	receive(t, "to report the loss of the task", ctx.Done(), start, short)
	expectExcluded(t, next, time.Until(start.Add(pause)))
	c.MoveAtOnce(t, slot, 0)
	from.Do(t, "CLIENT", "UNPAUSE")
	l := grant(t, "to lock after the move", next, poll)
	if c.Owner(t, slot) == from {
		t.Error("the slot has not moved")
	}
	is(t, "Done of the lost task", lostTask.Done(), waitgroup.ErrLost)
	expectNone(t, "a wait for the other task", waited, time.Second)
	check(t, task.Done())
	abandoned(t, "the wait", receive(t, "the wait", waited, time.Now(), poll), 1)
	unlock(t, kept)
	unlock(t, l)
}

// TestSilentNodeLosesOnlyItsOwnLeases stops one of three masters (row 63). Leases on the other masters are
// kept, and other keys can be locked and unlocked there.
func TestSilentNodeLosesOnlyItsOwnLeases(t *testing.T) {
	t.Parallel()
	const ttl, each = 3 * time.Second, 20
	c := redistest.StartCluster(t, 3)
	for _, node := range c.Nodes {
		node.Do(t, "CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	silent, rdb := c.Nodes[1], c.Client(t)
	var onLive, onSilent []*mutex.Lease
	var silentKey string
	var free []string // keys of the other nodes
	for i := 0; len(onSilent) < each || len(free) < each; i++ {
		key := fmt.Sprint("key", i)
		if l := lock(t, mutexAt(rdb, key, ttl)); c.Owner(t, c.Slot(t, key)) == silent {
			onSilent, silentKey = append(onSilent, l), key
		} else {
			onLive, free = append(onLive, l), append(free, "free{"+key+"}")
		}
	}
	silent.Pause()
	start := time.Now()
	var wg sync.WaitGroup
	for _, key := range free[:each] {
		wg.Go(func() {
			for m := mutexAt(rdb, key, ttl); time.Since(start) < 2*ttl; <-time.After(10 * time.Millisecond) {
				use(t, m)
			}
		})
	}
	for _, l := range onSilent {
		expectLoss(t, l, l.Done(), start, ttl)
	}
	wg.Wait()
	expectNoneLost(t, onLive)
	silent.Continue()
	unlock(t, lock(t, mutexAt(rdb, silentKey, ample))) // it executes the earlier requests first
	for _, l := range onLive {
		unlock(t, l)
	}
}
