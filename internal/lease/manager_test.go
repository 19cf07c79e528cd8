package lease

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestManagerGivesMemoryBack holds very many keys at once, and then one: the memory for the
// others comes back, though the manager is never at rest.
func TestManagerGivesMemoryBack(t *testing.T) {
	m := NewManager(ready{})
	kept := new(Lease)
	const keys = 50_000
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	leases := make([]*Lease, keys) // each by itself: a timer that has been stopped may keep the last ones for a while
	for i := range leases {
		p := params(time.Hour)
		p.Key = fmt.Sprint("key", i)
		if leases[i] = new(Lease); i == keys/2 {
			leases[i] = kept
		}
		if err := leases[i].Acquire(context.Background(), m, &p); err != nil {
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
	leases = nil
	if grown := heap() - before; grown > 1<<18 {
		t.Errorf("after %d holds %d kB more are in use", keys, grown>>10)
	}
	if kept.Err() != nil || len(m.queues.Entries) != 1 || m.Renewing() != 1 {
		t.Errorf("the last is %v, of %d queues and %d to renew", kept.Err(), len(m.queues.Entries), m.Renewing())
	}
	_ = kept.Release()
}
