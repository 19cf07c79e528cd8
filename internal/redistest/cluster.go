package redistest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Cluster is a Redis Cluster of masters.
type Cluster struct{ Nodes []*Server }

// StartCluster runs a cluster until the end of the test. Each node has an equal share of the slots,
// in the order of the nodes.
func StartCluster(tb testing.TB, masters int) *Cluster {
	tb.Helper()
	c := new(Cluster)
	for i := range masters {
		node := c.add(tb)
		slots := []any{"CLUSTER", "ADDSLOTS"} // Redis 6 does not have ADDSLOTSRANGE
		for slot := i * 16384 / masters; slot < (i+1)*16384/masters; slot++ {
			slots = append(slots, slot)
		}
		node.Do(tb, slots...)
	}
	c.agree(tb)
	return c
}

// Join adds a node without slots to the cluster.
func (c *Cluster) Join(tb testing.TB) {
	tb.Helper()
	c.add(tb)
	c.agree(tb)
}

func (c *Cluster) add(tb testing.TB) *Server {
	tb.Helper()
	node := Start(tb, "--cluster-enabled", "yes")
	c.Nodes = append(c.Nodes, node)
	if first := c.Nodes[0]; node != first {
		first.Do(tb, "CLUSTER", "MEET", "127.0.0.1", node.Port())
	}
	return node
}

const clusterTimeout = time.Minute // long, for a busy machine

// agree waits until the nodes agree.
func (c *Cluster) agree(tb testing.TB) {
	tb.Helper()
	Eventually(tb, clusterTimeout, func() bool { return c.agreed(tb) }, "the nodes of the cluster agree")
}

// agreed reports whether the cluster serves all slots, and all nodes have the same view of which
// node serves which slot. A node could lose a slot that it took over too early, because other nodes
// still had older configurations.
func (c *Cluster) agreed(tb testing.TB) bool {
	tb.Helper()
	views := map[string]bool{}
	for _, node := range c.Nodes {
		var nodes []string
		for line := range strings.Lines(node.Do(tb, "CLUSTER", "NODES").(string)) {
			// id address flags master ping pong epoch link slot…; a slot in [brackets] is moving
			f := strings.Fields(line)
			slots := slices.DeleteFunc(f[8:], func(slot string) bool { return slot[0] == '[' })
			nodes = append(nodes, f[0]+" "+f[6]+" "+strings.Join(slots, " "))
		}
		if len(nodes) != len(c.Nodes) || !strings.Contains(node.Do(tb, "CLUSTER", "INFO").(string), "cluster_state:ok") {
			return false
		}
		slices.Sort(nodes)
		views[strings.Join(nodes, "\n")] = true
	}
	return len(views) == 1
}

// Client connects to the cluster. It is closed when the test ends.
func (c *Cluster) Client(tb testing.TB, opts ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	tb.Helper()
	o := new(redis.ClusterOptions)
	for _, node := range c.Nodes {
		o.Addrs = append(o.Addrs, node.Addr())
	}
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewClusterClient(o)
	tb.Cleanup(func() { _ = rdb.Close() }) // the test may have closed it already
	return rdb
}

// Slot returns the slot of a key, or of a channel.
func (c *Cluster) Slot(tb testing.TB, key string) int64 {
	tb.Helper()
	return c.Nodes[0].Do(tb, "CLUSTER", "KEYSLOT", key).(int64)
}

// Owner returns the node that serves the slot according to its own view.
func (c *Cluster) Owner(tb testing.TB, slot int64) *Server {
	tb.Helper()
	for _, node := range c.Nodes {
		for _, served := range node.Do(tb, "CLUSTER", "SLOTS").([]any) {
			of := served.([]any)
			first, last, port := of[0].(int64), of[1].(int64), of[2].([]any)[1].(int64)
			if first <= slot && slot <= last && port == int64(node.Port()) {
				return node
			}
		}
	}
	tb.Fatalf("redistest: no node serves slot %d", slot)
	return nil
}

// ownerAndNext returns the node that serves the slot, and the next one.
func (c *Cluster) ownerAndNext(tb testing.TB, slot int64) (from, to *Server) {
	tb.Helper()
	from = c.Owner(tb, slot)
	return from, c.Nodes[(slices.Index(c.Nodes, from)+1)%len(c.Nodes)]
}

// HashTags returns a hash tag for each node: the node serves its slot.
func (c *Cluster) HashTags(tb testing.TB) map[*Server]string {
	tb.Helper()
	tags := map[*Server]string{}
	for i := 0; len(tags) < len(c.Nodes); i++ {
		tag := fmt.Sprintf("{%d}", i)
		tags[c.Owner(tb, c.Slot(tb, tag))] = tag
	}
	return tags
}

// Messages counts the messages that the nodes have sent to each other for PUBLISH and SPUBLISH, and
// the messages that clients have published by SPUBLISH.
func (c *Cluster) Messages(tb testing.TB) (onBus, onNode int64) {
	tb.Helper()
	for _, node := range c.Nodes {
		onNode += node.Stats(tb).Calls["spublish"]
		for line := range strings.Lines(node.Do(tb, "CLUSTER", "INFO").(string)) {
			field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if field == "cluster_stats_messages_publish_sent" || field == "cluster_stats_messages_publishshard_sent" {
				n, err := strconv.ParseInt(value, 10, 64)
				must(err)
				onBus += n
			}
		}
	}
	return onBus, onNode
}

// Errors returns how often the nodes have replied with an error of that code. It skips the test on
// Redis 6.0, which does not count errors.
func (c *Cluster) Errors(tb testing.TB, code string) (n int64) {
	tb.Helper()
	for _, node := range c.Nodes {
		info := node.Info(tb)
		if strings.HasPrefix(info["redis_version"], "6.0.") {
			tb.Skip("Redis 6.0 does not count errors")
		}
		count, _ := strings.CutPrefix(info["errorstat_"+code], "count=")
		of, _ := strconv.ParseInt(count, 10, 64) // the field is missing before the first error
		n += of
	}
	return n
}
