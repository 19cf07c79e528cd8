package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// snapshot is all that is in Redis but times.
func snapshot(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	var all []string
	for _, key := range rdb.Keys(t.Context(), "*").Val() {
		all = append(all, fmt.Sprintf("%q %q", key, rdb.Dump(t.Context(), key).Val()))
	}
	return strings.Join(all, "\n")
}

// look inspects, and checks that this is one request that changes nothing.
func look(t *testing.T, rdb *redis.Client, name lease.Name) lease.Status {
	t.Helper()
	return unchanged(t, rdb, func(s *Store) (lease.Status, error) { return s.Inspect(t.Context(), name) })
}

func unchanged[T any](t *testing.T, rdb *redis.Client, inspect func(*Store) (T, error)) T {
	t.Helper()
	before := snapshot(t, rdb)
	status, err := inspect(NewStore(rdb))
	if err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, rdb); after != before {
		t.Errorf("it has changed\n%s\nto\n%s", before, after)
	}
	return status
}

func TestInspectMutex(t *testing.T) {
	eachServer(t, func(r *rig) {
		name := mutexAt(r.lock)
		if status := look(t, r.rdb, name); len(status.Holders)+status.Waiters > 0 || status.Fence != 0 {
			t.Errorf("a key that is not there: %+v", status)
		}
		const x, y = "baton:10000:here:7:me:1:a+%26+b", "baton:10000:there:8:you:2"
		base := r.acquire(x, 1).FenceBase
		r.acquire(y, 1)
		r.acquire(a, 1)
		r.rdb.HSet(t.Context(), r.waiters, a, "1 1 1 x") // it is dead
		status := look(t, r.rdb, name)
		if len(status.Holders) != 1 || status.Waiters != 1 || status.Fence != base*lease.FencesPerGrant {
			t.Fatalf("%+v", status)
		}
		if h := status.Holders[0]; h.Owner != (lease.Owner{Host: "here", PID: 7, Label: "a & b", Token: x}) || h.Fence != status.Fence || h.Remaining <= lockTTL-time.Minute || h.Remaining > lockTTL {
			t.Errorf("%+v", h)
		}
		if want := (lease.Waiter{Owner: lease.Owner{Host: "there", PID: 8, Token: y}, Weight: 1}); len(status.Queue) != 1 || status.Queue[0] != want {
			t.Errorf("%+v", status.Queue)
		}
		r.rdb.Set(t.Context(), r.lock, "by hand", 0)
		if h := look(t, r.rdb, name).Holders[0]; h.Owner != (lease.Owner{Token: "by hand"}) || h.Remaining >= 0 {
			t.Errorf("a foreign lock: %+v", h)
		}
	})
}

func TestInspectPermits(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s, name := NewStore(rdb), lease.Name{Kind: lease.Semaphore, Key: "key"}
		if status := look(t, rdb, name); len(status.Holders)+status.Waiters > 0 || status.Size != 0 {
			t.Errorf("a key that is not there: %+v", status)
		}
		ask := func(token string, want int64, ttl time.Duration) lease.Reply {
			return must(s.Acquire(t.Context(), lease.Request{
				Name: name, Token: token, TTL: ttl, HandoverTTL: ttl, Seq: 1, Enqueue: true, Channel: "c", Want: want, WantSeq: 1, Size: 5,
			}))(t)
		}
		dead := ask(a, 1, 20*time.Millisecond)
		base := ask(b, 4, lockTTL).FenceBase
		ask(c, 2, lockTTL)
		ask(d, 1, lockTTL)
		if !dead.Granted {
			t.Fatal(dead)
		}
		redistest.Eventually(t, 5*time.Second, func() bool { return len(look(t, rdb, name).Holders) == 1 }, "a hold that has run out is shown")
		status := look(t, rdb, name)
		if status.Size != 5 || status.Waiters != 2 || len(status.Queue) != 2 || status.Queue[0].Token != c || status.Queue[0].Weight != 2 || status.Queue[1].Token != d || status.Fence != base*lease.FencesPerGrant {
			t.Errorf("%+v", status)
		}
		if h := status.Holders[0]; h.Token != b || h.Weight != 4 || h.Fence != base*lease.FencesPerGrant || h.Remaining <= 0 || h.Remaining > lockTTL || h.Shared {
			t.Errorf("%+v", h)
		}
		if _, err := s.Inspect(t.Context(), lease.Name{Kind: lease.RWMutex, Key: "key"}); !retry.IsPermanent(err) || !strings.Contains(err.Error(), "a semaphore") {
			t.Errorf("as a RWMutex: %v", err)
		}
		rdb.Del(t.Context(), "key")
		rdb.HSet(t.Context(), "key", "f", "v")
		if _, err := s.Inspect(t.Context(), name); !retry.IsPermanent(err) || !strings.Contains(err.Error(), "not of this library") {
			t.Errorf("another hash: %v", err)
		}
	})
}

func TestInspectWaitGroup(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s, op := NewStore(rdb), int64(0)
		inspect := func() taskgroup.Status {
			return unchanged(t, rdb, func(s *Store) (taskgroup.Status, error) { return s.InspectGroup(t.Context(), "key") })
		}
		if status := inspect(); status.Generation != 0 || status.Count != 0 || len(status.Tasks) > 0 {
			t.Errorf("a group that is not there: %+v", status)
		}
		change := func(c taskgroup.Operation) {
			op++
			c.Key, c.Session, c.Seq, c.AckedThrough = "key", "s", op, op-1
			if must(s.UpdateGroup(t.Context(), c))(t).Outcome != taskgroup.Applied {
				t.Errorf("%+v is not counted", c)
			}
		}
		change(taskgroup.Operation{Op: taskgroup.OpAdd, Delta: 4})
		change(taskgroup.Operation{Op: taskgroup.OpClaim, Token: a, TTL: lockTTL})
		change(taskgroup.Operation{Op: taskgroup.OpClaim, Token: b, TTL: 20 * time.Millisecond})
		redistest.Eventually(t, 5*time.Second, func() bool { return len(inspect().Tasks) == 1 }, "a dead task is shown")
		status := inspect()
		if status.Generation == 0 || status.Count != 2 || status.Abandoned != 1 || status.Tasks[0].Token != a || status.Tasks[0].Remaining <= 0 || status.Tasks[0].Remaining > lockTTL {
			t.Errorf("%+v", status)
		}
	})
}
