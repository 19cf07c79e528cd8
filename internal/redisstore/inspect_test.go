package redisstore

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// look inspects, and checks that this changes nothing.
func (r *rig) look(name lease.Name) (status lease.Status) {
	r.Helper()
	r.unchanged("a look", func() { status = must(r.Inspect(r.Context(), name))(r.T) })
	return status
}

func TestInspectMutex(t *testing.T) {
	eachServer(t, func(r *rig) {
		name := mutexAt(r.lock)
		if status := r.look(name); len(status.Holders)+status.Waiters > 0 || status.Fence != 0 {
			t.Errorf("a key that is not there: %+v", status)
		}
		const x, y = "baton:10000:here:7:me:1:a+%26+b", "baton:10000:there:8:you:2"
		base := r.acquire(x, 1).FenceBase
		r.acquire(y, 1)
		r.acquire(a, 1)
		r.rdb.HSet(t.Context(), r.waiters, a, "1 1 1 x") // it is dead
		status := r.look(name)
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
		if h := r.look(name).Holders[0]; h.Owner != (lease.Owner{Token: "by hand"}) || h.Remaining >= 0 {
			t.Errorf("a foreign lock: %+v", h)
		}
	})
}

func TestInspectPermits(t *testing.T) {
	eachServer(t, func(rig *rig) {
		r := newPermits(rig.T, rig.rdb, semaphoreAt(rig.lock), 5)
		if status := r.look(r.name); len(status.Holders)+status.Waiters > 0 || status.Size != 0 {
			r.Errorf("a key that is not there: %+v", status)
		}
		r.has(a, 1)
		r.has(b, 4)
		r.waits(c, 2)
		r.waits(d, 1)
		r.expires(a)
		status, fence := r.look(r.name), r.stored().holds[b].base*lease.FencesPerGrant
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
		look := func() (status taskgroup.Status) {
			g.unchanged("a look", func() { status = must(g.InspectGroup(g.Context(), g.key))(g.T) })
			return status
		}
		if status := look(); status.Generation != 0 || status.Count != 0 || len(status.Tasks) > 0 {
			g.Errorf("a group that is not there: %+v", status)
		}
		g.counts("s", taskgroup.OpAdd, 4)
		g.counts("s", taskgroup.OpClaim, a)
		g.counts("s", taskgroup.OpClaim, b)
		g.ends(b, -time.Millisecond)
		status := look()
		if status.Generation == 0 || status.Count != 2 || status.Abandoned != 1 || len(status.Tasks) != 1 || status.Tasks[0].Token != a {
			g.Fatalf("%+v", status)
		}
		g.remains("the task", status.Tasks[0].Remaining, lockTTL)
	})
}
