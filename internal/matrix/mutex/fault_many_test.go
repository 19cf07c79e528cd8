package mutex_test

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
)

// lockMany locks n keys of that prefix, some at a time.
func lockMany(t *testing.T, rdb redis.UniversalClient, prefix string, n, atATime int, ttl time.Duration) []*mutex.Lease {
	t.Helper()
	all := make([]*mutex.Lease, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range atATime {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				m := mutex.New(rdb, fmt.Sprint(prefix, i))
				m.TTL = ttl
				l, err := m.LockContext(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				all[i] = l
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// lost counts the leases that have ended.
func lost(all []*mutex.Lease) (n int) {
	for _, l := range all {
		if l.Err() != nil {
			n++
		}
	}
	return n
}

// TestManyLeasesUnderShortTimeouts holds very many locks by a client that waits for a
// reply for 100 ms, while the server does not answer for longer (row 64). What was
// answered counts, so that a retry is small, and no pipeline is large.
func TestManyLeasesUnderShortTimeouts(t *testing.T) {
	t.Parallel()
	const locks = 100_000
	s := redistest.Start(t)
	rdb := s.Client(t, func(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond })
	largest := largestPipeline(rdb)
	all := lockMany(t, rdb, "k", locks, 16, ample)
	for range 2 {
		<-time.After(ample / 2)
		s.Do(t, "CLIENT", "PAUSE", 300)
		<-time.After(ample / 2) // the renewals that fall into it are what is tested
	}
	redistest.CheckCount(t, "the leases that were lost", lost(all), 0)
	redistest.CheckCount(t, "the commands of a pipeline", largest.Load(), 128)
	if largest.Load() < 2 {
		t.Error("no pipeline was sent")
	}
}

// largestPipeline has a client note the number of commands of its largest pipeline.
func largestPipeline(rdb redis.UniversalClient) (largest *atomic.Int64) {
	largest = new(atomic.Int64)
	rdb.AddHook(redistest.Before(func(_ context.Context, cmds ...redis.Cmder) error {
		for n := int64(len(cmds)); n > largest.Load(); {
			largest.Store(n)
		}
		return nil
	}))
	return largest
}

// TestSlowDialsLoseNoLease has every new connection take longer than a TTL, while those
// that there are work well (row 76): a hold needs no new one.
func TestSlowDialsLoseNoLease(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	dialer := func(slow *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
		dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second})
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			if slow.Load() {
				<-time.After(4 * time.Second)
			}
			return dial(ctx, network, addr)
		}
	}
	s := redistest.Start(t)
	c := redistest.StartCluster(t, 3)
	together(t, map[string]func(slow *atomic.Bool) redis.UniversalClient{
		"Client": func(slow *atomic.Bool) redis.UniversalClient {
			return s.Client(t, func(o *redis.Options) { o.Dialer = dialer(slow) })
		},
		"Cluster": func(slow *atomic.Bool) redis.UniversalClient {
			return c.Client(t, func(o *redis.ClusterOptions) { o.Dialer = dialer(slow) })
		},
		"ClusterContextTimeout": func(slow *atomic.Bool) redis.UniversalClient {
			return c.Client(t, func(o *redis.ClusterOptions) { o.Dialer, o.ContextTimeoutEnabled = dialer(slow), true })
		},
	}, func(t *testing.T, client func(*atomic.Bool) redis.UniversalClient) {
		for _, n := range []int{1, 100, 1000} { // each tick of 1000 soon fills a pool with dials
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				var slow atomic.Bool
				rdb := client(&slow)
				all := lockMany(t, rdb, t.Name(), n, 1, ttl)
				slow.Store(true)
				<-time.After(3 * ttl)
				redistest.CheckCount(t, "the leases that were lost", lost(all), 0)
			})
		}
	})
}

// TestSilentNodeLosesOnlyItsOwnLeases stops one of three masters (row 63). What is held
// on the others is kept, and more is locked and unlocked there.
func TestSilentNodeLosesOnlyItsOwnLeases(t *testing.T) {
	t.Parallel()
	const ttl, each = 3 * time.Second, 20
	c := redistest.StartCluster(t, 3)
	for _, node := range c.Nodes {
		node.Do(t, "CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	silent := c.Nodes[1]
	rdb := c.Client(t)
	var well, theirs []*mutex.Lease
	var silentKey string
	var free []string // keys of the other nodes
	for i := 0; len(theirs) < each || len(free) < each; i++ {
		key := fmt.Sprint("key", i)
		m := mutex.New(rdb, key)
		m.TTL = ttl
		switch c.Owner(t, c.Slot(t, key)) {
		case silent:
			theirs, silentKey = append(theirs, lock(t, m)), key
		default:
			well = append(well, lock(t, m))
			free = append(free, "free{"+key+"}")
		}
	}
	silent.Pause()
	start := time.Now()
	var wg sync.WaitGroup
	for _, key := range free[:each] {
		wg.Go(func() {
			m := mutex.New(rdb, key)
			m.TTL = ttl
			for time.Since(start) < 5*ttl/2 {
				l, err := m.LockContext(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				unlock(t, l)
				<-time.After(10 * time.Millisecond)
			}
		})
	}
	for _, l := range theirs {
		loses(t, l, l.Done(), start, ttl)
	}
	wg.Wait()
	redistest.CheckCount(t, "the leases of the other nodes that were lost", lost(well), 0)
	silent.Continue()
	unlock(t, lock(t, mutex.New(rdb, silentKey))) // it answers what it was asked before
	for _, l := range well {
		unlock(t, l)
	}
}
