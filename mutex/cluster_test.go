package mutex_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestCluster locks keys of all shapes on a cluster, which refuses a script whose
// keys do not share a slot.
func TestCluster(t *testing.T) {
	s := redistest.Start(t, "--cluster-enabled", "yes")
	s.Do(t, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	redistest.Eventually(t, 10*time.Second, func() bool {
		return strings.Contains(s.Do(t, "CLUSTER", "INFO").(string), "cluster_state:ok")
	}, "the cluster does not form")
	client := func() *redis.ClusterClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr()}})
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}
	a, b := client(), client()
	for _, key := range []string{"key", "{tag}key", "a}b", "{}", "}{", "a{b", "{{a}}", "two words", "line\nline", "nul\x00", "ключ"} {
		here, there := mutex.New(a, key), mutex.New(b, key)
		held := lock(t, here)
		if there.TryLock() {
			t.Fatalf("%q is locked twice", key)
		}
		next := there.LockChan(t.Context())
		redistest.Eventually(t, 5*time.Second, func() bool { // queued
			for _, k := range s.Keys(t) {
				if strings.Contains(k, ":queue") {
					return true
				}
			}
			return false
		}, "%q: nobody queues", key)
		start := time.Now()
		unlock(t, held)
		r := <-next
		if r.Err != nil || r.Lease.Fence() <= held.Fence() {
			t.Fatalf("%q: %v", key, r)
		}
		if got := time.Since(start); got > 900*time.Millisecond {
			t.Errorf("%q: handed over after %v: that was a poll, not a message", key, got)
		}
		unlock(t, r.Lease)
	}
}

// TestClusterSlotMoves moves the slot of a lock that is held and awaited to
// another master, one key after the other (FAULTS rows 9 and 10): the hold is
// renewed throughout, for a renewal names one key, and the waiter gets the lock.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	from, to := redistest.Start(t, "--cluster-enabled", "yes"), redistest.Start(t, "--cluster-enabled", "yes")
	from.Do(t, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	from.Do(t, "CLUSTER", "MEET", "127.0.0.1", to.Port())
	for _, s := range []*redistest.Server{from, to} {
		redistest.Eventually(t, 20*time.Second, func() bool {
			info := s.Do(t, "CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2")
		}, "the cluster does not form")
	}
	client := func() *redis.ClusterClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from.Addr(), to.Addr()}})
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}
	holder, waiter := mutex.New(client(), "key"), mutex.New(client(), "key")
	holder.TTL, waiter.TTL = 2*time.Second, 2*time.Second
	held := lock(t, holder)
	done := held.Done()
	next := waiter.LockChan(t.Context())
	redistest.Eventually(t, 5*time.Second, func() bool { return len(from.Keys(t)) == 4 }, "nobody queues")

	slot := from.Do(t, "CLUSTER", "KEYSLOT", "key")
	fromID, toID := from.Do(t, "CLUSTER", "MYID"), to.Do(t, "CLUSTER", "MYID")
	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	stays := func(d time.Duration) {
		t.Helper()
		select {
		case <-done:
			t.Fatal("the hold is lost")
		case r := <-next:
			t.Fatalf("let in while another holds the lock: %v", r)
		case <-time.After(d): // the renewals that fall into it are what is tested
		}
	}
	from.Do(t, "MIGRATE", "127.0.0.1", to.Port(), "key", 0, 5000)
	stays(holder.TTL) // with the keys apart: scripts that name several answer TRYAGAIN
	for _, key := range from.Keys(t) {
		from.Do(t, "MIGRATE", "127.0.0.1", to.Port(), key, 0, 5000)
	}
	to.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	from.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	stays(holder.TTL)
	if to.Do(t, "EXISTS", "key") != int64(1) {
		t.Fatal("the lock has not moved")
	}
	unlock(t, held)
	r := <-next
	if r.Err != nil || r.Lease.Fence() <= held.Fence() {
		t.Fatalf("after the move: %v", r)
	}
	unlock(t, r.Lease)
}
