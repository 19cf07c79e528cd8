package redisstore

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestNodesThatLeftAreForgotten replaces the only node of a cluster several times. The transport keeps
// only nodes for which go-redis has a client.
func TestNodesThatLeftAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := redistest.MiniClient(t, redistest.Mini(t)).Options() // all nodes share the data
		var node atomic.Pointer[string]
		rdb := redis.NewClusterClient(&redis.ClusterOptions{
			ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
				return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: *node.Load()}}}}, nil
			},
			Dialer:                   func(ctx context.Context, network, addr string) (net.Conn, error) { return m.Dialer(ctx, network, addr) },
			MaintNotificationsConfig: m.MaintNotificationsConfig, DisableIdentity: true, PoolSize: 1000,
		})
		defer time.Sleep(time.Second) // until a reload of the slots has ended
		defer rdb.Close()
		store := NewStore(rdb)
		for _, addr := range []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"} {
			time.Sleep(time.Second) // until a reload of the slots ends that the last request began: it skips others
			node.Store(&addr)
			rdb.ReloadState(t.Context())
			time.Sleep(2 * time.Minute) // go-redis closes the client of a node a minute after it left
			if _, err := store.Acquire(t.Context(), promptRequest("a")); err != nil {
				t.Fatal(err)
			}
			if store.transport.nodes[addr] == nil || len(store.transport.nodes) > 2 { // the new node, and one that may not be closed yet
				t.Errorf("there are %d nodes", len(store.transport.nodes))
			}
		}
	})
}
