package mutex_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// nodes is a cluster with two clients, whose subscriptions stay open, and a key on each node.
type nodes struct {
	*testing.T
	c           *redistest.Cluster
	keys        map[*redistest.Server]string
	here, there redis.UniversalClient
}

func startNodes(t *testing.T, n int) nodes {
	c := redistest.StartCluster(t, n)
	patient := func(o *redis.ClusterOptions) { o.ReadTimeout = -1 } // the tests count messages
	k := nodes{t, c, c.HashTags(t), c.Client(t, patient), c.Client(t, patient)}
	for i, rdb := range []redis.UniversalClient{k.here, k.there} {
		lock(t, mutex.New(rdb, "kept"+strconv.Itoa(i)))
	}
	return k
}

// handOver hands the lock of each key over. It calls f while all locks have waiters.
func (k nodes) handOver(f func()) {
	k.Helper()
	held, next := map[string]*mutex.Lease{}, map[string]<-chan mutex.Result{}
	for _, key := range k.keys {
		m := mutex.New(k.here, key)
		held[key] = lock(k.T, m)
		next[key] = mutex.New(k.there, key).LockChan(k.Context())
		awaitWaiters(k.T, m.Inspect, 1)
	}
	f()
	for _, key := range k.keys {
		unlock(k.T, held[key])
		unlock(k.T, receive(k.T, next[key]))
	}
}

// subscribed waits until the waiter has a channel on each node.
func (k nodes) subscribed() {
	k.Helper()
	redistest.Eventually(k, redistest.Patience, func() bool { return len(k.channels()) == len(k.c.Nodes) }, "each node has a channel")
}

// channels returns the subscribed sharded channels. It skips the test on Redis 6, which has none.
func (k nodes) channels() (channels []string) {
	k.Helper()
	for _, node := range k.c.Nodes {
		for _, channel := range node.Do(k, "PUBSUB", "SHARDCHANNELS").([]any) {
			channels = append(channels, channel.(string))
		}
	}
	return channels
}

// TestClusterMessagesStayOnTheirNode sends each kind of message on every node of a cluster. No
// message goes to another node.
func TestClusterMessagesStayOnTheirNode(t *testing.T) {
	t.Parallel()
	k := startNodes(t, 3)
	k.channels() // skips the test on Redis 6
	here, there, observed := k.here, k.there, 0
	subscribed := mutex.New(here, "subscribed") // readers alone would not subscribe
	subscribed.NotifyContention = true
	lock(t, subscribed)
	for what, round := range map[string]func(t *testing.T, key string) (messages int64){
		"HandOver": func(t *testing.T, key string) int64 {
			held := lock(t, mutex.New(here, key))
			m := mutex.New(there, key)
			next := m.LockChan(t.Context())
			awaitWaiters(t, m.Inspect, 1)
			unlock(t, held)
			unlock(t, receive(t, next))
			return 1
		},
		"Contended": func(t *testing.T, key string) int64 {
			mu := mutex.New(here, key)
			mu.NotifyContention = true
			held := lock(t, mu)
			next := mutex.New(there, key).LockChan(t.Context())
			<-held.Contended()
			unlock(t, held)
			unlock(t, receive(t, next))
			return 2
		},
		"ContendedReaders": func(t *testing.T, key string) int64 {
			readers, writer := mutex.NewRW(here, key+"rw"), mutex.NewRW(there, key+"rw")
			held, joined := rlock(t, readers), rlock(t, readers)
			next := writer.LockChan(t.Context())
			awaitWaiters(t, writer.Inspect, 1)
			unlock(t, held)
			unlock(t, joined)
			unlock(t, receive(t, next))
			return 2
		},
		"Election": func(t *testing.T, key string) int64 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			observed++
			key += strconv.Itoa(observed)
			e, leaders := mutex.NewElection(here, key), mutex.NewElection(there, key).Observe(ctx)
			sees(t, leaders, "")
			e.Value = "x"
			redistest.Eventually(t, redistest.Patience, func() bool {
				return slices.ContainsFunc(k.channels(), func(channel string) bool { return strings.HasSuffix(channel, ":value:"+key) })
			}, "the observer has subscribed")
			term := campaign(t, e)
			sees(t, leaders, "x")
			resign(t, term)
			sees(t, leaders, "")
			return 2
		},
		"Once": func(t *testing.T, key string) int64 {
			first, second := mutex.NewOnce(here, key+"once"), mutex.NewOnce(there, key+"once")
			var other sync.WaitGroup
			_, err := first.DoContext(t.Context(), func(context.Context) error {
				other.Go(func() { runs(t, "the second process", second.DoContext, nil, false) })
				awaitWaiters(t, second.Inspect, 1)
				return nil
			})
			must(err)
			other.Wait()
			must(first.Reset(t.Context()))
			return 1
		},
	} {
		t.Run(what, func(t *testing.T) {
			all := func() (onBus, onNode, messages int64) {
				onBus, onNode = k.c.Messages(t)
				for _, key := range k.keys {
					messages += round(t, key)
				}
				onBusThen, onNodeThen := k.c.Messages(t)
				return onBusThen - onBus, onNodeThen - onNode, messages
			}
			var onBus, onNode, messages int64
			for range 20 { // a waiter whose subscription is late, or that polls, costs other messages
				if onBus, onNode, messages = all(); onBus == 0 && onNode == messages {
					return
				}
			}
			t.Errorf("%d messages to one node, want %d, and %d from node to node", onNode, messages, onBus)
		})
	}
}

// TestClusterMessages moves the slots of the channels of all nodes, and then closes the connections
// of their subscriptions, while locks have waiters (row 11). The locks are handed over, and the
// waiters subscribe again on the keys' nodes.
func TestClusterMessages(t *testing.T) {
	t.Parallel()
	k := startNodes(t, 2)
	k.handOver(func() {
		k.subscribed()
		first := k.channels()
		for _, channel := range first {
			k.c.Migrate(t, k.c.Slot(t, channel)).Finish(t)
		}
		redistest.Eventually(t, redistest.Patience, func() bool {
			return !slices.ContainsFunc(k.channels(), func(channel string) bool { return slices.Contains(first, channel) })
		}, "the subscriptions end")
	})
	clients := func(subscription string) (ids []string) {
		for i, node := range k.c.Nodes {
			for line := range strings.Lines(node.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string)) {
				if id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); strings.Contains(line, subscription) {
					ids = append(ids, strconv.Itoa(i)+" "+id)
				}
			}
		}
		return ids
	}
	var ofProcess []string
	k.handOver(func() {
		k.subscribed()
		ofProcess = clients(" sub=1 ")
		for _, client := range clients(" ssub=1 ") {
			i, id, _ := strings.Cut(client, " ")
			node, _ := strconv.Atoi(i)
			k.c.Nodes[node].Do(t, "CLIENT", "KILL", "ID", id)
		}
	})
	k.handOver(k.subscribed)
	if now := clients(" sub=1 "); len(ofProcess) == 0 || !slices.Equal(now, ofProcess) {
		t.Errorf("the subscriptions of the process were %q and are %q", ofProcess, now)
	}
	redistest.Eventually(t, redistest.Patience, func() bool {
		before, _ := k.c.Messages(k)
		k.handOver(func() {})
		after, _ := k.c.Messages(k)
		return after == before
	}, "no message goes from node to node")
}
