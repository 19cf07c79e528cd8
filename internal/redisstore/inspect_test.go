package redisstore

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// inspect calls Inspect, and checks that this changes nothing.
func (r *rig) inspect(name lease.Name) (status lease.Status) {
	r.Helper()
	r.unchanged("Inspect", func() { status = must(r.Inspect(r.Context(), name))(r.T) })
	return status
}

func TestInspectMutex(t *testing.T) {
	eachServer(t, func(r *rig) {
		name := mutexAt(r.lock)
		if status := r.inspect(name); len(status.Holders)+status.Waiters > 0 || status.Fence != 0 {
			t.Errorf("a missing key: %+v", status)
		}
		const x, y = "baton:10000:here:7:me:1:a+%26+b", "baton:10000:there:8:you:2"
		base := r.acquire(x, 1).FenceBase
		r.acquire(y, 1)
		r.acquire(a, 1)
		r.rdb.HSet(t.Context(), r.waiters, a, "1 1 1 x") // stale
		status := r.inspect(name)
		if len(status.Holders) != 1 || status.Waiters != 1 || status.Fence != base*lease.FencesPerGrant {
			t.Fatalf("%+v", status)
		}
		if h := status.Holders[0]; h.Owner != (lease.Owner{Host: "here", PID: 7, Label: "a & b", Token: x}) || h.Fence != status.Fence {
			t.Errorf("%+v", h)
		}
		r.remains("the owner", status.Holders[0].Remaining, lockTTL)
		if want := (lease.Waiter{Owner: lease.Owner{Host: "there", PID: 8, Token: y}, Weight: 1}); len(status.Queue) != 1 || status.Queue[0] != want {
			t.Errorf("%+v", status.Queue)
		}
		r.rdb.Set(t.Context(), r.lock, "by hand", 0)
		if h := r.inspect(name).Holders[0]; h.Owner != (lease.Owner{Token: "by hand"}) || h.Remaining >= 0 {
			t.Errorf("a foreign lock: %+v", h)
		}
	})
}

func TestInspectPermits(t *testing.T) {
	eachServer(t, func(rig *rig) {
		r := newPermits(rig.T, rig.rdb, semaphoreAt(rig.lock), 5)
		if status := r.inspect(r.name); len(status.Holders)+status.Waiters > 0 || status.Size != 0 {
			r.Errorf("a missing key: %+v", status)
		}
		r.has(a, 1)
		r.has(b, 4)
		r.waits(c, 2)
		r.waits(d, 1)
		r.expireHold(a)
		status, fence := r.inspect(r.name), r.stored().holds[b].base*lease.FencesPerGrant
		if status.Size != 5 || status.Waiters != 2 || len(status.Queue) != 2 || status.Queue[0].Token != c || status.Queue[0].Weight != 2 || status.Queue[1].Token != d || status.Fence != fence {
			r.Errorf("%+v", status)
		}
		if h := status.Holders[0]; len(status.Holders) != 1 || h.Token != b || h.Weight != 4 || h.Fence != fence || h.Shared {
			r.Errorf("%+v", status.Holders)
		}
		r.remains("the holder", status.Holders[0].Remaining, lockTTL)
		fails := func(name lease.Name, words string) {
			r.Helper()
			_, err := r.Inspect(r.Context(), name)
			expect(r.T, "inspect", err, "permanent", words)
		}
		fails(rwAt(r.lock), "a semaphore")
		r.put(r.main, "hash")
		fails(r.name, "not of this library")
	})
}

func TestInspectWaitGroup(t *testing.T) {
	eachGroup(t, func(g *group) {
		inspect := func() (status taskgroup.Status) {
			g.unchanged("InspectGroup", func() { status = must(g.InspectGroup(g.Context(), g.key))(g.T) })
			return status
		}
		if status := inspect(); status.Generation != 0 || status.Count != 0 || len(status.Tasks) > 0 {
			g.Errorf("a missing group: %+v", status)
		}
		g.applies("s", taskgroup.OpAdd, 4)
		g.applies("s", taskgroup.OpClaim, a)
		g.applies("s", taskgroup.OpClaim, b)
		g.setEnd(b, -time.Millisecond)
		status := inspect()
		if status.Generation == 0 || status.Count != 2 || status.Abandoned != 1 || len(status.Tasks) != 1 || status.Tasks[0].Token != a {
			g.Fatalf("%+v", status)
		}
		g.remains("the task", status.Tasks[0].Remaining, lockTTL)
	})
}
