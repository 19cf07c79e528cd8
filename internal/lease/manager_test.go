package lease

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// heapOf returns by how much the heap has grown, in bytes, once f has returned and
// what is not in use has been collected.
func heapOf(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// TestKeeperShrinks holds very many keys at once, and then one: the memory for the
// others comes back, though the manager is never at rest.
func TestKeeperShrinks(t *testing.T) {
	m := NewManager(ready{})
	kept := new(Lease)
	const keys = 50_000
	grown := heapOf(func() {
		leases := make([]*Lease, keys) // each by itself: a timer that has been stopped may keep the last ones for a while
		for i := range leases {
			p := params(time.Hour)
			p.Key = fmt.Sprint("key", i)
			l := new(Lease)
			if i == keys/2 {
				l = kept
			}
			leases[i] = l
			if err := l.Acquire(context.Background(), m, &p); err != nil {
				t.Fatal(err)
			}
		}
		if n := m.Renewing(); n != keys {
			t.Errorf("%d claims to renew, want %d", n, keys)
		}
		for i := range leases {
			if i != keys/2 {
				_ = leases[i].Release()
			}
		}
	})
	if grown > 1<<20 {
		t.Errorf("after %d holds %d kB more are in use", keys, grown>>10)
	}
	if kept.Err() != nil || len(m.queues.Entries) != 1 || m.Renewing() != 1 {
		t.Errorf("the last is %v, of %d queues and %d to renew", kept.Err(), len(m.queues.Entries), m.Renewing())
	}
	_ = kept.Release()
}
