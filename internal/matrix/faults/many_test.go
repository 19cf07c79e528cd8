package faults

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// The tests that keep the processors busy are not parallel: they run before the others.

// lockMany locks n keys with the prefix until the end of the test, atATime of them concurrently.
func lockMany(t *testing.T, rdb redis.UniversalClient, prefix string, n, atATime int, ttl time.Duration) []*mutex.Lease {
	t.Helper()
	all := make([]*mutex.Lease, n)
	inParallel := func(f func(i int)) {
		var wg sync.WaitGroup
		for first := range atATime {
			wg.Go(func() {
				for i := first; i < n; i += atATime {
					f(i)
				}
			})
		}
		wg.Wait()
	}
	inParallel(func(i int) {
		var err error
		if all[i], err = mutexAt(rdb, fmt.Sprint(prefix, i), ttl).LockContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { inParallel(func(i int) { _ = all[i].Unlock() }) })
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// expectNoneLost checks that no lease has ended.
func expectNoneLost(t *testing.T, all []*mutex.Lease) {
	t.Helper()
	n := 0
	for _, l := range all {
		if l.Err() != nil {
			n++
		}
	}
	redistest.CheckCount(t, "the lost leases", n, 0)
}

// watchPipelines returns a function that checks the number of commands of the client's largest pipeline.
func watchPipelines(rdb redis.UniversalClient) (check func(t *testing.T, bound int64)) {
	var largest atomic.Int64
	rdb.AddHook(redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error {
		for n, max := int64(len(cmds)), largest.Load(); n > max && !largest.CompareAndSwap(max, n); {
			max = largest.Load()
		}
		return nil
	}))
	return func(t *testing.T, bound int64) {
		t.Helper()
		redistest.CheckCount(t, "the commands of a pipeline", largest.Load(), bound)
		if largest.Load() < 2 {
			t.Error("no pipeline was sent")
		}
	}
}

// TestWaitingCosts waits with 256 waiters for a lock in each of 4 processes, and 10,000 times for a group in
// another (row 53). Each process sends at most one request per second, and has one subscription. The
// holder's renewals wake no waiter. A wait needs no goroutine.
func TestWaitingCosts(t *testing.T) {
	s := redistest.Start(t)
	held := lock(t, mutex.New(s.Client(t, redistest.Patient), "key"))
	group := waitgroup.New(s.Client(t, redistest.Patient), "group")
	group.Add(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const processes, waiters, waits = 4, 256, 10_000
	var results []<-chan mutex.Result
	for range processes {
		m := mutex.New(s.Client(t, redistest.Patient), "key")
		for range waiters {
			results = append(results, m.LockChan(ctx))
		}
	}
	awaitQueue(t, s, "key", processes)
	goroutines := redistest.Goroutines()
	there, ends := waitgroup.New(s.Client(t, redistest.Patient), "group"), make([]<-chan error, waits)
	for i := range ends {
		ends[i] = there.WaitChan(ctx)
	}
	redistest.Eventually(t, redistest.Patience, func() bool { return s.Subscribers(t, "baton:{group}:done") == 1 }, "the waiter is subscribed")
	expectNone(t, "the first wait", ends[0], 100*time.Millisecond)
	redistest.CheckCount(t, "the goroutines of the waits", redistest.Goroutines()-goroutines, 10)

	const seconds = 3
	before := s.Stats(t)
	<-time.After(seconds * time.Second) // the measured time
	cost := s.Stats(t).Since(before)
	redistest.CheckCount(t, "the requests in three seconds", cost.Requests(), (processes+1)*seconds+3) // with renewals
	redistest.CheckCount(t, "the messages in three seconds", cost.Published()+cost.Subscribes(), 0)

	before = s.Stats(t)
	group.Done()
	for _, c := range ends {
		check(t, <-c)
	}
	redistest.CheckCount(t, "the messages at the end of a generation", s.Stats(t).Since(before).Published(), 1)
	cancel()
	for _, c := range results {
		<-c
	}
	unlock(t, held)
}

// TestFaultManyWaiters waits with 100,000 waiters in one process (row 53). Redis has one entry for all
// of them, waiting needs no goroutine, and a hand-over in the process no request.
func TestFaultManyWaiters(t *testing.T) {
	const waiters = 100_000
	s := redistest.Start(t)
	holder, m := mutexOf(s.Client(t), ample), mutexOf(s.Client(t), ample)
	l := lock(t, holder)
	goroutines := redistest.Goroutines()
	results := make([]<-chan mutex.Result, waiters)
	for i := range results {
		results[i] = m.LockChan(t.Context())
	}
	awaitQueue(t, s, "key", 1)
	redistest.CheckCount(t, "the goroutines of the waiters", redistest.Goroutines()-goroutines, 10)
	before := s.Stats(t)
	unlock(t, l)
	start := time.Now()
	for _, c := range results {
		r := <-c
		check(t, r.Err)
		expectFencesGrow(t, l, r.Lease)
		l = r.Lease
		unlock(t, l)
	}
	// The process yields after each time slice of a millisecond, and also polls.
	slices := time.Since(start).Milliseconds() + int64(waiters)/1024
	redistest.CheckCount(t, "the requests of the waiters", s.Stats(t).Since(before).Scripts(), 2*slices+10)
	expectNothingLeft(t, s, 0)
}

// TestLeaseOfManyKeysStallsNobody locks and unlocks 10,000 keys at once (row 67). Each script has the keys
// of one lock, and no pipeline is long.
func TestLeaseOfManyKeysStallsNobody(t *testing.T) {
	s := redistest.Start(t)
	rdb := s.Client(t)
	var apart atomic.Int64
	checkPipelines := watchPipelines(rdb)
	rdb.AddHook(redistest.BeforeScripts(func(_ context.Context, cmd redis.Cmder) {
		keys := redistest.KeysOf(cmd)
		for _, key := range keys {
			if redistest.HashTag(fmt.Sprint(key)) != redistest.HashTag(fmt.Sprint(keys[0])) {
				apart.Add(1)
			}
		}
	}))
	p := mutex.NewPool(rdb, "many:")
	p.TTL = time.Minute
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprint(i))
	}
	unlock(t, lockAll(t, p, names...))
	checkPipelines(t, 128)
	redistest.CheckCount(t, "the keys in a script of another lock", apart.Load(), 0)
	expectNothingLeft(t, s, poll)
}

// TestManyLeasesUnderShortTimeouts holds 100,000 locks with a read timeout of 100 ms, while the server
// pauses for longer (row 64). Replies that arrived count, so retries are small, and so is each pipeline.
func TestManyLeasesUnderShortTimeouts(t *testing.T) {
	const locks = 100_000
	s := redistest.Start(t)
	rdb := s.Client(t, func(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond })
	checkPipelines := watchPipelines(rdb)
	all := lockMany(t, rdb, "k", locks, 16, ample)
	for range 4 {
		<-time.After(ample / 4) // the renewals during this time are under test
		s.Do(t, "CLIENT", "PAUSE", 300)
	}
	expectNoneLost(t, all)
	checkPipelines(t, 128)
}

// TestSlowDialsLoseNoLease makes every new connection take longer than a TTL, while existing connections
// work (row 76). A hold needs no new connection.
func TestSlowDialsLoseNoLease(t *testing.T) {
	const ttl, delay = 3 * time.Second, 4 * time.Second
	type dialer = func(context.Context, string, string) (net.Conn, error)
	c := redistest.StartCluster(t, 3)
	each(t, map[string]func(*testing.T, dialer) redis.UniversalClient{
		"Cluster": func(t *testing.T, dial dialer) redis.UniversalClient {
			return c.Client(t, func(o *redis.ClusterOptions) { o.Dialer = dial })
		},
		"ClusterContextTimeout": func(t *testing.T, dial dialer) redis.UniversalClient {
			return c.Client(t, func(o *redis.ClusterOptions) { o.Dialer, o.ContextTimeoutEnabled = dial, true })
		},
	}, func(t *testing.T, client func(*testing.T, dialer) redis.UniversalClient) {
		var slow atomic.Bool
		dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second})
		rdb := client(t, func(ctx context.Context, network, addr string) (net.Conn, error) {
			if slow.Load() {
				select {
				case <-time.After(delay):
				case <-t.Context().Done(): // no dial outlives the test
				}
			}
			return dial(ctx, network, addr)
		})
		all := lockMany(t, rdb, t.Name(), 1000, 1, ttl) // each renewal tick fills the pool with dials
		slow.Store(true)
		<-time.After(2 * ttl)
		expectNoneLost(t, all)
	})
}
