package mutex_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A nodeKeys has a key of each node of a cluster, whose locks go from one client to another.
type nodeKeys struct {
	*testing.T
	c              *redistest.Cluster
	owners         map[*redistest.Server]string
	holder, waiter map[string]*mutex.Mutex
}

func keysOfNodes(t *testing.T, c *redistest.Cluster) *nodeKeys {
	k := &nodeKeys{t, c, map[*redistest.Server]string{}, map[string]*mutex.Mutex{}, map[string]*mutex.Mutex{}}
	holder, waiter := c.Client(t), c.Client(t)
	for i := 0; len(k.owners) < len(c.Nodes); i++ {
		key := strconv.Itoa(i)
		k.owners[c.Owner(t, c.Slot(t, key))] = key
	}
	lock(t, mutex.New(waiter, "kept")) // so that the waiter's subscription stays
	for _, key := range k.owners {
		k.holder[key], k.waiter[key] = mutex.New(holder, key), mutex.New(waiter, key)
	}
	return k
}

// handOver has the waiter get each lock from the holder. It calls meanwhile while all are awaited.
func (k *nodeKeys) handOver(meanwhile func()) {
	k.Helper()
	held, next := map[string]*mutex.Lease{}, map[string]<-chan mutex.Result{}
	for _, key := range k.owners {
		held[key] = lock(k.T, k.holder[key])
		next[key] = k.waiter[key].LockChan(k.Context())
		redistest.Eventually(k, redistest.Patience, func() bool {
			status, err := k.holder[key].Inspect(k.Context())
			return err == nil && status.Waiters == 1
		}, "it is awaited")
	}
	meanwhile()
	for _, key := range k.owners {
		unlock(k.T, held[key])
		r := <-next[key]
		if r.Err != nil {
			k.Fatal(r.Err)
		}
		unlock(k.T, r.Lease)
	}
}

// messages counts those that the nodes have sent to each other for PUBLISH and for SPUBLISH, and
// those that scripts have published to one node.
func (k *nodeKeys) messages() (onBus, published int64) {
	k.Helper()
	for _, node := range k.c.Nodes {
		published += node.Stats(k).Calls["spublish"]
		for line := range strings.Lines(node.Do(k, "CLUSTER", "INFO").(string)) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if field == "cluster_stats_messages_publish_sent" || field == "cluster_stats_messages_publishshard_sent" {
				n, err := strconv.ParseInt(value, 10, 64)
				if err != nil {
					k.Fatal(err)
				}
				onBus += n
			}
		}
	}
	return onBus, published
}

// subscribed waits until the waiter has a channel on each node, which the locks that are awaited need.
func (k *nodeKeys) subscribed() {
	k.Helper()
	redistest.Eventually(k, redistest.Patience, func() bool { return len(k.channels()) == len(k.c.Nodes) }, "each node has a channel")
}

// channels returns the channels of single nodes that are subscribed to. It skips the test on
// Redis 6, which has none.
func (k *nodeKeys) channels() (channels []string) {
	k.Helper()
	for _, node := range k.c.Nodes {
		for _, channel := range node.Do(k, "PUBSUB", "SHARDCHANNELS").([]any) {
			channels = append(channels, channel.(string))
		}
	}
	return channels
}

// TestClusterHandOversStayOnTheirNode hands over locks of every node of a cluster. No message goes
// to another node.
func TestClusterHandOversStayOnTheirNode(t *testing.T) {
	t.Parallel()
	const nodes, rounds = 3, 10
	k := keysOfNodes(t, redistest.StartCluster(t, nodes))
	k.handOver(k.subscribed)
	onBus, published := k.messages()
	for range rounds {
		k.handOver(func() {})
	}
	onBusThen, publishedThen := k.messages()
	if n := publishedThen - published; onBusThen != onBus || n != rounds*nodes {
		t.Errorf("%d hand-overs cost %d messages to one node, and %d from node to node", rounds*nodes, n, onBusThen-onBus)
	}
}

// TestClusterMessages moves the slots of the channels of all nodes, and cuts the connections of
// their subscriptions, while locks are awaited (row 11). The locks change hands, and waiters then
// have channels on the keys' nodes again.
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
	before, _ := k.messages()
	k.handOver(func() {})
	if after, _ := k.messages(); after != before {
		t.Errorf("%d messages went from node to node", after-before)
	}
}
