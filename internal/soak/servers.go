package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// A node is a redis-server with data, and an admin client.
type node struct {
	*redistest.Server
	admin *redis.Client
}

func (n *node) try(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := n.admin.Do(ctx, args...).Result()
	if err != nil && err != redis.Nil {
		return nil, fmt.Errorf("redis %v: %w", args, err)
	}
	return v, nil
}

func (n *node) do(args ...any) any { return must(n.try(args...)) }

// info returns the value of a field of INFO, or "".
func (n *node) info(field string) string {
	text, _ := n.try("INFO", "everything")
	for line := range strings.Lines(fmt.Sprint(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

// await waits until a field of INFO has the value.
func (n *node) await(field, value string) {
	if !eventually(20*time.Second, func() bool { return n.info(field) == value }) {
		panic(fmt.Sprintf("%s: %s is %q, want %q", n.Addr(), field, n.info(field), value))
	}
}

// names returns all keys.
func (n *node) names() (list []string) {
	for i := n.admin.Scan(context.Background(), 0, "*", 1000).Iterator(); i.Next(context.Background()); {
		list = append(list, i.Val())
	}
	return list
}

// A topology is an arrangement of servers.
type topology struct {
	testing.TB
	kind      string
	nodes     []*node
	master    int // of replica and sentinel: index of the node that accepts writes
	cluster   *redistest.Cluster
	sentinels []string // addresses
	watching  []*redis.SentinelClient
}

// topologies has all topologies, in the order of the test runs.
var topologies = []string{"single", "aof", "replica", "sentinel", "cluster"}

// masterName is the sentinels' name of the master.
const masterName = "master"

func newTopology(tb testing.TB, kind string) *topology {
	t := &topology{TB: tb, kind: kind}
	var servers []*redistest.Server
	switch replicates := []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}; kind {
	case "aof":
		servers = append(servers, redistest.Start(tb, "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"))
	case "replica", "sentinel":
		master := redistest.Start(tb, replicates...)
		servers = append(servers, master, master.AddReplica(tb, replicates...))
	case "cluster":
		t.cluster = redistest.StartCluster(tb, 2)
		servers = t.cluster.Nodes
	default:
		servers = append(servers, redistest.Start(tb))
	}
	for _, s := range servers {
		t.nodes = append(t.nodes, &node{s, s.Client(tb)})
	}
	if kind == "sentinel" {
		t.sentinels = redistest.WatchBySentinels(tb, servers[0], servers[1], 1).Addrs()
		for _, addr := range t.sentinels {
			s := redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true})
			tb.Cleanup(func() { _ = s.Close() })
			check(s.Set(context.Background(), masterName, "failover-timeout", "3000").Err())
			check(s.Set(context.Background(), masterName, "down-after-milliseconds", "700").Err())
			t.watching = append(t.watching, s)
		}
	}
	return t
}

// masters returns the nodes that accept writes.
func (t *topology) masters() []*node {
	if t.kind == "cluster" {
		return t.nodes
	}
	return t.nodes[t.master : t.master+1]
}

// servers returns the addresses for clients.
func (t *topology) servers() []string {
	list := slices.Clone(t.sentinels)
	for _, n := range t.masters() {
		if t.sentinels == nil {
			list = append(list, n.Addr())
		}
	}
	return list
}

// agree waits until all sentinels report these fields of the master, and the node is the master.
func (t *topology) agree(want map[string]string) {
	for _, s := range t.watching {
		var m map[string]string
		if !eventually(40*time.Second, func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			m, _ = s.Master(ctx, masterName).Result()
			for field, value := range want {
				if m[field] != value {
					return false
				}
			}
			return true
		}) {
			panic(fmt.Sprintf("a sentinel reports %v, want %v", m, want))
		}
		t.master = slices.IndexFunc(t.nodes, func(n *node) bool { return m["port"] == strconv.Itoa(n.Port()) })
	}
	t.nodes[t.master].await("role", "master")
}

// elected waits until the other node is the master.
func (t *topology) elected() {
	t.agree(map[string]string{"port": strconv.Itoa(t.nodes[1-t.master].Port())})
}

// settled waits until the sentinels report a healthy master and replica, so that the next failover is
// possible. On a slow machine, the master may have changed again.
func (t *topology) settled() {
	t.agree(map[string]string{"num-other-sentinels": "2", "num-slaves": "1", "flags": "master"})
	t.nodes[1-t.master].await("master_link_status", "up")
}

// move moves the slot of a key to the other node, one key at a time, with pauses during which the keys are on
// two nodes. It returns the number of moved keys.
func (t *topology) move(key string, pause time.Duration) (moved int) {
	slot := t.cluster.Slot(t, key)
	from, m := t.cluster.Owner(t, slot), t.cluster.Migrate(t, slot)
	for ; ; moved++ {
		list := from.Do(t, "CLUSTER", "GETKEYSINSLOT", slot, 1).([]any)
		if len(list) == 0 {
			m.Finish(t)
			return moved
		}
		m.Move(t, list[0].(string))
		time.Sleep(pause)
	}
}
