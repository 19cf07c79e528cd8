package lease

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// grantingStore grants every request.
type grantingStore struct{ Store }

func (grantingStore) Acquire(_ context.Context, r Request) (Reply, error) {
	return Reply{Granted: true, Weight: 1, GrantedNow: 1, FenceBase: 1}, nil
}
func (grantingStore) Release(context.Context, Name, string) (bool, error) { return true, nil }
func (grantingStore) MaxBlock() time.Duration                             { return 0 }
func (grantingStore) IsPrompt(Name) bool                                  { return true }

// TestManagerFreesMemory holds many keys at once, and then one. The memory of the others must be
// freed, although the manager is never at rest.
func TestManagerFreesMemory(t *testing.T) {
	m := NewManager(grantingStore{})
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	const keys = 50_000
	leases := make([]*Lease, keys) // separate objects, as a stopped timer may keep some of them for a while
	p := params(time.Hour)
	for i, key := range keysNumbered(keys) {
		p.Key, leases[i] = key, new(Lease)
		if err := leases[i].Acquire(context.Background(), m, &p); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "claims that are renewed", m.Renewing(), keys)
	kept := leases[keys/2]
	for _, l := range leases {
		if l != kept {
			_ = l.Release()
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
