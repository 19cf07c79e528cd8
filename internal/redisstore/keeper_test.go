package redisstore

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// options are of a client that never connects.
func options() *redis.Options {
	return &redis.Options{Addr: "127.0.0.1:1", MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
}

func client(t *testing.T) *redis.Client {
	rdb := redis.NewClient(options())
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func TestKeeperIsOnePerClient(t *testing.T) {
	one, two := client(t), client(t)
	first, second := must(Keeper(one))(t), must(Keeper(two))(t)
	if first == second {
		t.Error("two clients share a keeper")
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if k, err := Keeper(one); k != first || err != nil {
				t.Errorf("another keeper %p, %v", k, err)
			}
		})
	}
	wg.Wait()
	runtime.KeepAlive(second)
}

func TestKeeperOfNoClient(t *testing.T) {
	for name, rdb := range map[string]redis.UniversalClient{
		"nil": nil, "client": (*redis.Client)(nil), "cluster": (*redis.ClusterClient)(nil), "ring": (*redis.Ring)(nil),
	} {
		if k, err := Keeper(rdb); k != nil || err == nil {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

// Users wrap clients, by value as well.
type wrapped struct{ redis.UniversalClient }

type uncomparable struct {
	redis.UniversalClient
	tags []string
}

func TestKeeperOfAWrappedClient(t *testing.T) {
	rdb := client(t)
	plain := must(Keeper(rdb))(t)
	first, again := must(Keeper(wrapped{rdb}))(t), must(Keeper(wrapped{rdb}))(t)
	if first != again || first == plain {
		t.Error("equal wrappers are one client, and not the one within")
	}
	if k := must(Keeper(&uncomparable{rdb, nil}))(t); k == plain {
		t.Error("a pointer to a wrapper is a client of its own")
	}
	for _, w := range []redis.UniversalClient{uncomparable{rdb, []string{"a"}}, wrapped{uncomparable{rdb, nil}}} {
		if one, two := must(Keeper(w))(t), must(Keeper(w))(t); one == two {
			t.Error("a client that cannot be compared was found again")
		}
	}
	runtime.KeepAlive(plain)
	runtime.KeepAlive(first)
}

func TestKeeperOfAnUncomparableClientWorks(t *testing.T) {
	eachServer(t, func(r *rig) {
		k := must(Keeper(uncomparable{r.rdb, []string{"a"}}))(t)
		var l lease.Lease
		check(t, l.Acquire(t.Context(), k, &lease.Params{Kind: lease.Mutex, Key: "key", TTL: lockTTL, Weight: 1}))
		check(t, l.Release())
		equal(t, "owner", r.owner(), "")
	})
}

func registered(rdb redis.UniversalClient) bool {
	keepersMu.Lock()
	defer keepersMu.Unlock()
	_, ok := keepers[rdb]
	return ok
}

// Nothing has to be closed, so nothing may be kept: neither the keeper nor, by
// the registry, the client.
func TestKeeperThatNobodyUsesGoes(t *testing.T) {
	rdb := client(t)
	k := must(Keeper(rdb))(t)
	runtime.GC()
	equal(t, "registered while in use", registered(rdb), true)
	runtime.KeepAlive(k)
	k = nil
	redistest.Eventually(t, 10*time.Second, func() bool { runtime.GC(); return !registered(rdb) }, "the entry goes")

	gone := make(chan struct{})
	func() {
		short := redis.NewClient(options())
		must(Keeper(short))(t)
		check(t, short.Close())
		runtime.AddCleanup(short, func(gone chan struct{}) { close(gone) }, gone)
	}()
	redistest.Eventually(t, 10*time.Second, func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}, "the client goes")
}

// A keeper may be collected and its cleanup still be due when the next one is made.
func TestKeeperThatIsMadeAgain(t *testing.T) {
	rdb := client(t)
	for range 20 {
		must(Keeper(rdb))(t)
		runtime.GC()
		k := must(Keeper(rdb))(t)
		runtime.GC()
		if again := must(Keeper(rdb))(t); again != k {
			t.Fatal("a keeper in use was replaced")
		}
		runtime.KeepAlive(k)
	}
}
