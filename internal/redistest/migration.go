package redistest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Migration is a slot that moves from one node of a cluster to another, key by key. During the
// move, the server replies TRYAGAIN to a script with keys on both nodes.
type Migration struct {
	cluster  *Cluster
	slot     int64
	from, to *Server
}

// Migrate begins to move a slot from the node that serves it to the next one. It moves no key.
func (c *Cluster) Migrate(tb testing.TB, slot int64) *Migration {
	tb.Helper()
	from, to := c.ownerAndNext(tb, slot)
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.Do(tb, "CLUSTER", "MYID"))
	from.Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.Do(tb, "CLUSTER", "MYID"))
	return &Migration{c, slot, from, to}
}

// BeginMigration marks a slot as MIGRATING on the node that serves it, and on no other. All keys
// stay there, and the node refuses missing keys, also in the middle of a script. stop ends that.
func (c *Cluster) BeginMigration(tb testing.TB, slot int64) (stop func()) {
	tb.Helper()
	from, to := c.ownerAndNext(tb, slot)
	from.Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.Do(tb, "CLUSTER", "MYID"))
	return func() { from.Do(tb, "CLUSTER", "SETSLOT", slot, "STABLE") }
}

// Move moves a key of the slot.
func (m *Migration) Move(tb testing.TB, key string) {
	tb.Helper()
	m.from.Do(tb, "MIGRATE", "127.0.0.1", m.to.Port(), key, 0, 5000)
}

// Finish moves the remaining keys, and then the slot.
func (m *Migration) Finish(tb testing.TB) {
	tb.Helper()
	for {
		keys := texts(m.from.Do(tb, "CLUSTER", "GETKEYSINSLOT", m.slot, 100))
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			m.Move(tb, key)
		}
	}
	// The new owner first: otherwise the old owner would redirect clients to a node that redirects
	// them back.
	id := m.to.Do(tb, "CLUSTER", "MYID")
	m.to.Do(tb, "CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.from.Do(tb, "CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.cluster.agree(tb)
}

// MoveAtOnce moves a slot, with all its keys, to the next node in one step. On servers before Valkey
// 9.0 it imitates that step. Then, and for the given time before the move, the writes of the node that
// serves the slot are paused.
func (c *Cluster) MoveAtOnce(tb testing.TB, slot int64, pause time.Duration) {
	tb.Helper()
	from, to := c.ownerAndNext(tb, slot)
	_, err := from.do("CLUSTER", "GETSLOTMIGRATIONS")
	if pause > 0 || err != nil {
		from.Do(tb, "CLIENT", "PAUSE", 60_000, "WRITE")
		defer from.Do(tb, "CLIENT", "UNPAUSE")
		<-time.After(pause) // the test is about TTLs that end in the pause
	}
	if err == nil {
		from.Do(tb, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.Do(tb, "CLUSTER", "MYID"))
		Eventually(tb, 20*time.Second, func() bool {
			all := fmt.Sprint(from.Do(tb, "CLUSTER", "GETSLOTMIGRATIONS"))
			if strings.Contains(all, "failed") {
				tb.Fatal(all)
			}
			return c.Owner(tb, slot) == to
		}, "the slot has moved")
		c.agree(tb)
		return
	}
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.Do(tb, "CLUSTER", "MYID"))
	rdb := to.Client(tb, func(o *redis.Options) { o.PoolSize = 1 })
	for _, key := range texts(from.Do(tb, "CLUSTER", "GETKEYSINSLOT", slot, 1000)) {
		ttl, dump := from.Do(tb, "PTTL", key).(int64), from.Do(tb, "DUMP", key)
		if dump == nil { // it has expired
			continue
		}
		_, err := rdb.Pipelined(tb.Context(), func(pipe redis.Pipeliner) error {
			pipe.Do(tb.Context(), "ASKING")
			pipe.Do(tb.Context(), "RESTORE", key, max(ttl, 1), dump)
			return nil
		})
		if err != nil {
			tb.Fatalf("restore %q: %v", key, err)
		}
	}
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", to.Do(tb, "CLUSTER", "MYID"))
	c.agree(tb)
}
