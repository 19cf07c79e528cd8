package mutex_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// throughShards returns a client of several servers behind one address.
func throughShards(t *testing.T, servers ...*redistest.Server) *redis.Client {
	var shards []*redis.Client
	for _, s := range servers {
		shards = append(shards, s.Client(t))
	}
	rdb := servers[0].Client(t)
	rdb.AddHook(redistest.Sharding(shards...))
	return rdb
}

// TestShardingProxyLetsOneIn locks several keys together and each key alone, through a proxy with two
// servers (row 61). A key has one holder, and hand-overs work without messages.
func TestShardingProxyLetsOneIn(t *testing.T) {
	t.Parallel()
	const keys, holds = 8, 6
	one, two := redistest.Start(t), redistest.Start(t)
	a, b := throughShards(t, one, two), throughShards(t, one, two)
	var names []string
	for i := range keys {
		names = append(names, fmt.Sprint("key", i))
	}
	var inside [keys]atomic.Int64
	visit := func(l *mutex.Lease, err error, list ...int) {
		if err != nil {
			t.Error(err)
			return
		}
		for _, i := range list {
			if inside[i].Add(1) != 1 {
				t.Errorf("two processes hold %s", names[i])
			}
		}
		<-time.After(time.Millisecond)
		for _, i := range list {
			inside[i].Add(-1)
		}
		unlock(t, l)
	}
	var wg sync.WaitGroup
	for i, rdb := range []*redis.Client{a, b} {
		pool := mutex.NewPool(rdb, "")
		wg.Go(func() {
			for range holds {
				l, err := pool.LockContext(t.Context(), names...)
				visit(l, err, 0, 1, 2, 3, 4, 5, 6, 7)
			}
		})
		wg.Go(func() {
			for n := range holds {
				of := (n + i) % keys
				l, err := pool.LockContext(t.Context(), names[of])
				visit(l, err, of)
			}
		})
	}
	wg.Wait()
	for _, s := range []*redistest.Server{one, two} {
		if s.Stats(t).Scripts() == 0 {
			t.Error("one server has all keys")
		}
		expectNothingLeft(t, s, poll)
	}

	last := names[slices.IndexFunc(names, func(key string) bool { // on the server without the subscription
		return two.Do(t, "EXISTS", "baton:{"+key+"}:fence") == int64(1)
	})]
	l := lock(t, mutex.New(a, last))
	next := mutex.New(b, last).LockChan(t.Context())
	redistest.Eventually(t, 5*time.Second, func() bool { return two.Do(t, "ZCARD", "baton:{"+last+"}:queue") == int64(1) }, "the waiter is queued")
	unlock(t, l)
	unlock(t, receive(t, "to detect the hand-over without a message", next, poll))
}

// TestLeaseOfManyKeysStallsNobody locks and unlocks 10,000 keys at once (row 67). Each script has the keys
// of one lock, and no pipeline is long.
func TestLeaseOfManyKeysStallsNobody(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	s := redistest.Start(t)
	rdb := s.Client(t)
	var apart atomic.Int64
	largest := largestPipeline(rdb)
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
	for i := range keys {
		names = append(names, fmt.Sprint(i))
	}
	l, err := p.LockContext(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	unlock(t, l)
	redistest.CheckCount(t, "the commands of a pipeline", largest.Load(), 128)
	redistest.CheckCount(t, "the keys in a script of another lock", apart.Load(), 0)
	if largest.Load() < 2 {
		t.Error("no pipeline was sent")
	}
	expectNothingLeft(t, s, poll)
}

// TestRedialOfTheSubscriptionHangs cuts the subscription and blocks new connections, while the existing
// connections work (row 71). Waits end by polling.
func TestRedialOfTheSubscriptionHangs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var hangs atomic.Bool
	heal := make(chan struct{})
	dial := redis.NewDialer(&redis.Options{DialTimeout: 5 * time.Second})
	rdb := s.Client(t, func(o *redis.Options) {
		o.MinIdleConns = 3
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if hangs.Load() {
				<-heal
			}
			return dial(ctx, network, addr)
		}
	})
	m := mutexOf(s.Client(t), ample)
	for round := range 3 {
		l := lock(t, m)
		next := enqueue(t, s, mutexOf(rdb, ample), 1)
		if round == 0 {
			redistest.Eventually(t, poll, func() bool { return s.Subscribers(t, "baton:*") == 1 }, "the waiter is subscribed")
			hangs.Store(true)
			s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub")
		}
		unlock(t, l)
		unlock(t, receive(t, "to detect the hand-over", next, poll))
	}
	close(heal)
	expectNothingLeft(t, s, 2*poll)
}

// TestSubscriptionOnAnOldMaster moves a waiter's commands to a new master, while its subscription stays on
// the old one, which still replies (row 72). Three hand-overs are detected by polls. Then the
// subscription is replaced, and the next hand-over arrives by message.
func TestSubscriptionOnAnOldMaster(t *testing.T) {
	t.Parallel()
	older, newer := redistest.Start(t), redistest.Start(t)
	p := redistest.NewProxy(t, older.Addr())
	rdb := p.Client(t)
	pin := func(s *redistest.Server) { // a waiter keeps the subscription open
		s.Do(t, "SET", "pinned", "by hand")
		t.Cleanup(func() { s.Do(t, "DEL", "pinned") })
	}
	pin(older)
	pin(newer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pinned := mutex.New(rdb, "pinned").LockChan(ctx)
	redistest.Eventually(t, 5*time.Second, func() bool { return older.Subscribers(t, "baton:*") == 1 }, "the waiter is subscribed")
	p.Retarget(newer.Addr())
	older.Do(t, "CLIENT", "KILL", "TYPE", "normal")

	m := mutexOf(newer.Client(t), ample)
	missed := 0
	for {
		l := lock(t, m)
		next := enqueue(t, newer, mutexOf(rdb, ample), 1)
		subscribed := newer.Subscribers(t, "baton:*") > 0
		unlock(t, l)
		if subscribed {
			unlock(t, receive(t, "the hand-over by message", next, 0))
			break
		}
		if missed++; missed > 4 { // the replacement starts after the third, during the fourth
			t.Fatal("the subscription stays on the old master")
		}
		unlock(t, receive(t, "to detect the hand-over", next, poll))
	}
	if missed < 3 {
		t.Errorf("the subscription was replaced after %d polls", missed)
	}
	if n := older.Subscribers(t, "baton:*"); n != 0 {
		t.Errorf("%d subscriptions are left on the old master", n)
	}
	cancel()
	<-pinned
}

// TestClusterSlotMovesAtOnce moves a slot as newer servers do (row 74): writes pause, all keys are copied,
// and the slot changes its owner in one step. A lease longer than the pause is kept. A shorter lease is
// lost, and the loss is reported before another process gets the lock.
func TestClusterSlotMovesAtOnce(t *testing.T) {
	t.Parallel()
	const short, pause = 2 * time.Second, 10 * time.Second
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "{t}")
	of := func(key string, ttl time.Duration) *mutex.Mutex {
		m := mutex.New(c.Client(t), key)
		m.TTL = ttl
		return m
	}
	kept := lock(t, of("{t}long", 30*time.Second))
	gone := lock(t, of("{t}short", short))
	next := of("{t}short", ample).LockChan(t.Context())
	from := c.Owner(t, slot)
	redistest.Eventually(t, 5*time.Second, func() bool { return from.Do(t, "ZCARD", "baton:{t}:queue:{t}short") == int64(1) }, "the waiter is queued")

	start := time.Now()
	done := gone.Done()
	from.Do(t, "CLIENT", "PAUSE", 60_000, "WRITE")
	expectLoss(t, gone, done, start, short)
	expectExcluded(t, next, time.Until(start.Add(pause)))
	c.MoveAtOnce(t, slot)
	from.Do(t, "CLIENT", "UNPAUSE")
	l := receive(t, "to lock after the move", next, poll)
	if to := c.Owner(t, slot); to == from {
		t.Error("the slot has not moved")
	}
	expectKept(t, kept, time.Second)
	unlock(t, kept)
	unlock(t, l)
}
