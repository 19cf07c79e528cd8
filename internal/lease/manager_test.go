package lease

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestManagerFreesMemory holds many keys at once, and then one. The memory of the others must be
// freed, although the manager is never at rest.
func TestManagerFreesMemory(t *testing.T) {
	m := NewManager(grantingStore{})
	kept := new(Lease)
	const keys = 50_000
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	leases := make([]*Lease, keys) // separate objects, as a stopped timer may keep some of them for a while
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
		t.Errorf("%d claims are renewed, want %d", n, keys)
	}
	for i := range leases {
		if i != keys/2 {
			_ = leases[i].Release()
		}
	}
	leases = nil
	if grown := heap() - before; grown > 1<<18 {
		t.Errorf("after %d holds, the heap has grown by %d kB", keys, grown>>10)
	}
	if kept.Err() != nil || len(m.queues.Entries) != 1 || m.Renewing() != 1 {
		t.Errorf("the kept lease: %v; %d queues, %d renewed", kept.Err(), len(m.queues.Entries), m.Renewing())
	}
	_ = kept.Release()
}
