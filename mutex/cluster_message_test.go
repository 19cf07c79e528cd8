package mutex_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// nodeKeys hands over the lock of one key on each node of a cluster, from one client to another.
type nodeKeys struct {
	*testing.T
	c              *redistest.Cluster
	keys           map[*redistest.Server]string
	clients        [2]redis.UniversalClient
	holder, waiter map[string]*mutex.Mutex
}

func keysOfNodes(t *testing.T, c *redistest.Cluster) *nodeKeys {
	patient := func(o *redis.ClusterOptions) { o.ReadTimeout = -1 } // the test counts messages
	holder, waiter := c.Client(t, patient), c.Client(t, patient)
	k := &nodeKeys{t, c, c.HashTags(t), [...]redis.UniversalClient{holder, waiter}, map[string]*mutex.Mutex{}, map[string]*mutex.Mutex{}}
	for i, rdb := range k.clients { // to keep the subscriptions open
		lock(t, mutex.New(rdb, "kept"+strconv.Itoa(i)))
	}
	for _, key := range k.keys {
		k.holder[key], k.waiter[key] = mutex.New(holder, key), mutex.New(waiter, key)
	}
	return k
}

// handOver hands each lock over to the waiter. It calls f while all locks have waiters.
func (k *nodeKeys) handOver(f func()) {
	k.Helper()
	held, next := map[string]*mutex.Lease{}, map[string]<-chan mutex.Result{}
	for _, key := range k.keys {
		held[key] = lock(k.T, k.holder[key])
		next[key] = k.waiter[key].LockChan(k.Context())
		awaitWaiters(k.T, k.holder[key].Inspect, 1)
	}
	f()
	for _, key := range k.keys {
		unlock(k.T, held[key])
		unlock(k.T, receive(k.T, next[key]))
	}
}

// subscribed waits until the waiter has a channel on each node.
func (k *nodeKeys) subscribed() {
	k.Helper()
	redistest.Eventually(k, redistest.Patience, func() bool { return len(k.channels()) == len(k.c.Nodes) }, "each node has a channel")
}

// channels returns the subscribed sharded channels. It skips the test on Redis 6, which has none.
func (k *nodeKeys) channels() (channels []string) {
	k.Helper()
	for _, node := range k.c.Nodes {
		for _, channel := range node.Do(k, "PUBSUB", "SHARDCHANNELS").([]any) {
			channels = append(channels, channel.(string))
		}
	}
	return channels
}

// TestClusterHandOversStayOnTheirNode hands over locks on every node of a cluster. No message goes to
// another node.
func TestClusterHandOversStayOnTheirNode(t *testing.T) {
	t.Parallel()
	const nodes, rounds = 3, 10
	k := keysOfNodes(t, redistest.StartCluster(t, nodes))
	k.handOver(k.subscribed)
	onBus, published := k.c.Messages(k)
	for range rounds {
		k.handOver(func() {})
	}
	onBusThen, publishedThen := k.c.Messages(k)
	if n := publishedThen - published; onBusThen != onBus || n != rounds*nodes {
		t.Errorf("%d hand-overs cost %d messages to one node, and %d from node to node", rounds*nodes, n, onBusThen-onBus)
	}
}

// TestClusterMessagesStayOnTheirNode sends each kind of message on every node of a cluster. No
// message goes to another node.
func TestClusterMessagesStayOnTheirNode(t *testing.T) {
	t.Parallel()
	k := keysOfNodes(t, redistest.StartCluster(t, 3))
	k.channels() // skips the test on Redis 6
	here, there, observed := k.clients[0], k.clients[1], 0
	subscribed := mutex.New(here, "subscribed") // readers alone would not subscribe
	subscribed.NotifyContention = true
	lock(t, subscribed)
	for what, round := range map[string]func(t *testing.T, key string) (messages int64){
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
			both := make(chan error, 1)
			_, err := first.DoContext(t.Context(), func(context.Context) error {
				go func() {
					_, err := second.DoContext(t.Context(), func(context.Context) error { return errors.New("f ran twice") })
					both <- err
				}()
				awaitWaiters(t, second.Inspect, 1)
				return nil
			})
			must(err)
			must(<-both)
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
			redistest.Eventually(t, redistest.Patience, func() bool {
				onBus, _, _ := all()
				return onBus == 0
			}, "messages stay on their node")
			exact := false
			for range 5 {
				onBus, onNode, messages := all()
				if exact = exact || onNode == messages; onBus != 0 || onNode < messages {
					t.Errorf("%d messages to one node, want %d, and %d from node to node", onNode, messages, onBus)
				}
			}
			if !exact { // a waiter that polls, as on a machine that stands still for a second, notifies again
				t.Error("more messages than needed in each of five rounds")
			}
		})
	}
}

// TestClusterMessages moves the slots of the channels of all nodes, and then closes the connections
// of their subscriptions, while locks have waiters (row 11). The locks are handed over, and the
// waiters subscribe again on the keys' nodes.
func TestClusterMessages(t *testing.T) {
	t.Parallel()
	k := keysOfNodes(t, redistest.StartCluster(t, 2))
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
	before, _ := k.c.Messages(k)
	k.handOver(func() {})
	if after, _ := k.c.Messages(k); after != before {
		t.Errorf("%d messages went from node to node", after-before)
	}
}
