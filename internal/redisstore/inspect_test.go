package redisstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
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
func look(t *testing.T, rdb *redis.Client, name lease.Name) lease.Picture {
	t.Helper()
	before := snapshot(t, rdb)
	p, err := NewStore(rdb).Inspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, rdb); after != before {
		t.Errorf("it has changed\n%s\nto\n%s", before, after)
	}
	return p
}

func TestInspectMutex(t *testing.T) {
	eachServer(t, func(r *rig) {
		name := mutexAt(r.lock)
		if p := look(t, r.rdb, name); len(p.Holders)+p.Waiting > 0 || p.Fence != 0 {
			t.Errorf("a key that is not there: %+v", p)
		}
		const x, y = "baton:10000:here:7:me:1:a+%26+b", "baton:10000:there:8:you:2"
		base := r.ask(x, 1).Base
		r.ask(y, 1)
		r.ask(a, 1)
		r.rdb.HSet(t.Context(), r.waiters, a, "1 1 1 x") // it is dead
		p := look(t, r.rdb, name)
		if len(p.Holders) != 1 || p.Waiting != 1 || p.Fence != base*lease.Block {
			t.Fatalf("%+v", p)
		}
		if h := p.Holders[0]; h.Owner != (lease.Owner{Host: "here", PID: 7, Label: "a & b", Token: x}) || h.Fence != p.Fence || h.Left <= lockTTL-time.Minute || h.Left > lockTTL {
			t.Errorf("%+v", h)
		}
		if p.First != (lease.Owner{Host: "there", PID: 8, Token: y}) {
			t.Errorf("%+v", p.First)
		}
		r.rdb.Set(t.Context(), r.lock, "by hand", 0)
		if h := look(t, r.rdb, name).Holders[0]; h.Owner != (lease.Owner{Token: "by hand"}) || h.Left >= 0 {
			t.Errorf("a foreign lock: %+v", h)
		}
	})
}

func TestInspectPermits(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s, name := NewStore(rdb), lease.Name{Kind: lease.Semaphore, Key: "key"}
		if p := look(t, rdb, name); len(p.Holders)+p.Waiting > 0 || p.Size != 0 {
			t.Errorf("a key that is not there: %+v", p)
		}
		ask := func(token string, want int64, ttl time.Duration) lease.Reply {
			return must(s.Ask(t.Context(), lease.Request{
				Name: name, Token: token, TTL: ttl, Grant: ttl, N: 1, Queue: true, Channel: "c", Want: want, Order: 1, Size: 5,
			}))(t)
		}
		dead := ask(a, 1, 20*time.Millisecond)
		base := ask(b, 4, lockTTL).Base
		ask(c, 2, lockTTL)
		ask(d, 1, lockTTL)
		if !dead.Granted {
			t.Fatal(dead)
		}
		redistest.Eventually(t, 5*time.Second, func() bool { return len(look(t, rdb, name).Holders) == 1 }, "a hold that has run out is shown")
		p := look(t, rdb, name)
		if p.Size != 5 || p.Waiting != 2 || p.First.Token != c || p.Wanted != 2 || p.Fence != base*lease.Block {
			t.Errorf("%+v", p)
		}
		if h := p.Holders[0]; h.Token != b || h.Weight != 4 || h.Fence != base*lease.Block || h.Left <= 0 || h.Left > lockTTL || h.Shared {
			t.Errorf("%+v", h)
		}
		if _, err := s.Inspect(t.Context(), lease.Name{Kind: lease.RWMutex, Key: "key"}); !lease.IsPermanent(err) || !strings.Contains(err.Error(), "a semaphore") {
			t.Errorf("as a RWMutex: %v", err)
		}
		rdb.Del(t.Context(), "key")
		rdb.HSet(t.Context(), "key", "f", "v")
		if _, err := s.Inspect(t.Context(), name); !lease.IsPermanent(err) || !strings.Contains(err.Error(), "not of this library") {
			t.Errorf("another hash: %v", err)
		}
	})
}

func TestInspectRound(t *testing.T) {
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		s, name, op := NewStore(rdb), lease.Name{Kind: lease.WaitGroup, Key: "key"}, int64(0)
		if p := look(t, rdb, name); p.Round != 0 || p.Count != 0 || len(p.Holders) > 0 {
			t.Errorf("a group that is not there: %+v", p)
		}
		change := func(c lease.Change) {
			op++
			c.Key, c.Session, c.Op, c.Low = "key", "s", op, op-1
			if must(s.Change(t.Context(), c))(t) != lease.Counted {
				t.Errorf("%+v is not counted", c)
			}
		}
		change(lease.Change{What: lease.Add, Delta: 4})
		change(lease.Change{What: lease.Join, Token: a, TTL: lockTTL})
		change(lease.Change{What: lease.Join, Token: b, TTL: 20 * time.Millisecond})
		redistest.Eventually(t, 5*time.Second, func() bool { return len(look(t, rdb, name).Holders) == 1 }, "a dead task is shown")
		p := look(t, rdb, name)
		if p.Round == 0 || p.Count != 2 || p.Lost != 1 || p.Holders[0].Token != a || p.Holders[0].Left <= 0 || p.Holders[0].Left > lockTTL {
			t.Errorf("%+v", p)
		}
	})
}
