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

// lockMany locks n keys with the prefix, atATime of them concurrently.
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

// lost returns the number of ended leases.
func lost(all []*mutex.Lease) (n int) {
	for _, l := range all {
		if l.Err() != nil {
			n++
		}
	}
	return n
}

// TestManyLeasesUnderShortTimeouts holds 100,000 locks with a read timeout of 100 ms, while the server
// pauses for longer (row 64). Replies that arrived count, so retries are small, and so is each pipeline.
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
		<-time.After(ample / 2) // the renewals during this time are under test
	}
	redistest.CheckCount(t, "the lost leases", lost(all), 0)
	redistest.CheckCount(t, "the commands of a pipeline", largest.Load(), 128)
	if largest.Load() < 2 {
		t.Error("no pipeline was sent")
	}
}

// largestPipeline records the number of commands of a client's largest pipeline.
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

// TestSlowDialsLoseNoLease makes every new connection take longer than a TTL, while existing connections
// work (row 76). A hold needs no new connection.
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
	runTogether(t, map[string]func(slow *atomic.Bool) redis.UniversalClient{
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
		for _, n := range []int{1, 100, 1000} { // with 1000, each renewal tick fills the pool with dials
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				var slow atomic.Bool
				rdb := client(&slow)
				all := lockMany(t, rdb, t.Name(), n, 1, ttl)
				slow.Store(true)
				<-time.After(3 * ttl)
				redistest.CheckCount(t, "the lost leases", lost(all), 0)
			})
		}
	})
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
	silent := c.Nodes[1]
	rdb := c.Client(t)
	var onLive, onSilent []*mutex.Lease
	var silentKey string
	var free []string // keys of the other nodes
	for i := 0; len(onSilent) < each || len(free) < each; i++ {
		key := fmt.Sprint("key", i)
		m := mutex.New(rdb, key)
		m.TTL = ttl
		switch c.Owner(t, c.Slot(t, key)) {
		case silent:
			onSilent, silentKey = append(onSilent, lock(t, m)), key
		default:
			onLive = append(onLive, lock(t, m))
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
	for _, l := range onSilent {
		expectLoss(t, l, l.Done(), start, ttl)
	}
	wg.Wait()
	redistest.CheckCount(t, "the lost leases of the other nodes", lost(onLive), 0)
	silent.Continue()
	unlock(t, lock(t, mutex.New(rdb, silentKey))) // it executes the earlier requests first
	for _, l := range onLive {
		unlock(t, l)
	}
}
