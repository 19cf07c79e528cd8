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
