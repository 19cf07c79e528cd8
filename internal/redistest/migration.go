package redistest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Migration is a slot on its way from one node of a cluster to another. As
// long as it is, its keys are apart, those that are moved from those that are
// not, and a script that names both is answered TRYAGAIN.
type Migration struct {
	cluster  *Cluster
	slot     int64
	from, to *Server
}

// Migrate begins to move a slot from the node that serves it to the next one. Its
// keys stay where they are.
func (c *Cluster) Migrate(tb testing.TB, slot int64) *Migration {
	tb.Helper()
	from := c.Owner(tb, slot)
	next := (slices.Index(c.Nodes, from) + 1) % len(c.Nodes)
	m := &Migration{c, slot, from, c.Nodes[next]}
	m.to.Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", m.from.Do(tb, "CLUSTER", "MYID"))
	m.from.Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", m.to.Do(tb, "CLUSTER", "MYID"))
	return m
}

// BeginMigration has only the node that serves a slot know that it is to move: all
// keys are where they were, and that node refuses those that are not there, in the
// middle of a script too. To stop changes that back.
func (c *Cluster) BeginMigration(tb testing.TB, slot int64) (stop func()) {
	tb.Helper()
	from := c.Owner(tb, slot)
	to := c.Nodes[(slices.Index(c.Nodes, from)+1)%len(c.Nodes)]
	from.Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.Do(tb, "CLUSTER", "MYID"))
	return func() { from.Do(tb, "CLUSTER", "SETSLOT", slot, "STABLE") }
}

// Move moves a key of the slot.
func (m *Migration) Move(tb testing.TB, key string) {
	tb.Helper()
	m.from.Do(tb, "MIGRATE", "127.0.0.1", m.to.Port(), key, 0, 5000)
}

// Finish moves what keys are left, and then the slot.
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
	// The new owner first: the old one refuses while it has keys, and would else
	// send clients to a node that sends them back.
	id := m.to.Do(tb, "CLUSTER", "MYID")
	m.to.Do(tb, "CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.from.Do(tb, "CLUSTER", "SETSLOT", m.slot, "NODE", id)
	m.cluster.agree(tb)
}

// MoveAtOnce moves a slot, with all its keys, to the next node in one step. Where the servers
// cannot, as before Valkey 9.0, it does what they would do. The caller has paused the writes of the node that serves it, which
// drops its keys when it hears of the new owner.
func (c *Cluster) MoveAtOnce(tb testing.TB, slot int64) {
	tb.Helper()
	from := c.Owner(tb, slot)
	if from.movesSlots() {
		c.MoveAtomically(tb, slot)
		c.agree(tb)
		return
	}
	to := c.Nodes[(slices.Index(c.Nodes, from)+1)%len(c.Nodes)]
	to.Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.Do(tb, "CLUSTER", "MYID"))
	rdb := to.Client(tb, func(o *redis.Options) { o.PoolSize = 1 })
	for _, key := range texts(from.Do(tb, "CLUSTER", "GETKEYSINSLOT", slot, 1000)) {
		ttl, dump := from.Do(tb, "PTTL", key).(int64), from.Do(tb, "DUMP", key)
		if dump == nil { // it has run out
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

// WhileWritesArePaused pauses the writes of the node that serves the slot, for at least that long,
// and then calls f.
func (c *Cluster) WhileWritesArePaused(tb testing.TB, slot int64, pause time.Duration, f func()) {
	tb.Helper()
	from := c.Owner(tb, slot)
	from.Do(tb, "CLIENT", "PAUSE", 60_000, "WRITE")
	<-time.After(pause) // what it does to TTLs is what is tested
	f()
	from.Do(tb, "CLIENT", "UNPAUSE")
}

func (s *Server) movesSlots() bool {
	_, err := s.do("CLUSTER", "GETSLOTMIGRATIONS")
	return err == nil
}

// MoveAtomically has the servers move a slot, with all its keys, to the next node. The test is
// skipped where they cannot.
func (c *Cluster) MoveAtomically(tb testing.TB, slot int64) (to *Server) {
	tb.Helper()
	from := c.Owner(tb, slot)
	to = c.Nodes[(slices.Index(c.Nodes, from)+1)%len(c.Nodes)]
	if !from.movesSlots() {
		tb.Skip("slots move atomically since Valkey 9.0")
	}
	from.Do(tb, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to.Do(tb, "CLUSTER", "MYID"))
	Eventually(tb, 20*time.Second, func() bool {
		all := fmt.Sprint(from.Do(tb, "CLUSTER", "GETSLOTMIGRATIONS"))
		if strings.Contains(all, "failed") {
			tb.Fatal(all)
		}
		return c.Owner(tb, slot) == to
	}, "the slot has moved")
	return to
}
