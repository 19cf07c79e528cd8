package redisstore

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// options returns the options of a client that never connects.
func options() *redis.Options {
	return &redis.Options{Addr: "127.0.0.1:1", MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
}

func newClient(t *testing.T) *redis.Client {
	rdb := redis.NewClient(options())
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// Users wrap clients, also by value.
type wrapped struct{ redis.UniversalClient }

type uncomparable struct {
	redis.UniversalClient
	tags []string
}

type byPointer struct{ *redis.Client }

type hidden struct{ byPointer }

// metrics has its own client, deeper than the client of the struct that embeds it.
type metrics struct{ inner struct{ byPointer } }

type counted struct {
	*metrics
	redis.UniversalClient
}

type overridden struct{ redis.UniversalClient }

func (*overridden) Process(context.Context, redis.Cmder) error { return nil }

type overriddenByValue struct{ redis.UniversalClient }

func (overriddenByValue) Subscribe(context.Context, ...string) *redis.PubSub { return nil }

type generic[T any] struct {
	redis.UniversalClient
	tag T
}

func (g generic[T]) Pipeline() redis.Pipeliner { return g.UniversalClient.Pipeline() }

// overriding gets a method from another embedded type, which is less deep than the client's method.
type overriding struct {
	processor
	byPointer
}

type processor struct{}

func (processor) Process(context.Context, redis.Cmder) error { return nil }

// A type that only embeds a client counts as that client. A type with its own methods gets each command.
func TestManagerOfAWrappedClient(t *testing.T) {
	rdb := newClient(t)
	plain := must(ManagerFor(rdb))(t)
	if must(ManagerFor(newClient(t)))(t) == plain {
		t.Error("two clients share a manager")
	}
	for name, w := range map[string]redis.UniversalClient{
		"by value": wrapped{rdb}, "by pointer": &wrapped{rdb}, "twice": &wrapped{wrapped{rdb}}, "uncomparable": uncomparable{rdb, []string{"a"}},
		"by its own type": byPointer{rdb}, "in an unexported struct": &hidden{byPointer{rdb}}, "unnamed": &struct{ redis.UniversalClient }{rdb},
		"another client deeper": counted{&metrics{struct{ byPointer }{byPointer{newClient(t)}}}, wrapped{rdb}},
	} {
		if k := must(ManagerFor(w))(t); k != plain {
			t.Errorf("%s: another manager than the client's", name)
		}
	}
	for name, w := range map[string]redis.UniversalClient{
		"a method": &overridden{rdb}, "wrapped": &wrapped{&overridden{rdb}}, "wrapping": &overridden{wrapped{rdb}}, "by value": &overriddenByValue{rdb},
		"generic": &generic[int]{rdb, 1}, "from another embedded type": &overriding{processor{}, byPointer{rdb}},
	} {
		k := must(ManagerFor(w))(t)
		if k == plain {
			t.Errorf("%s: commands do not reach the wrapper", name)
		}
		if again := must(ManagerFor(w))(t); again != k {
			t.Errorf("%s: another manager the second time", name)
		}
		runtime.KeepAlive(k)
	}
	w := overriddenByValue{rdb}
	if one, two := must(ManagerFor(w))(t), must(ManagerFor(w))(t); one == two {
		t.Error("two copies of a client share a manager")
	}
	runtime.KeepAlive(plain)
}

// A Ring and a nil client are refused, however they are wrapped.
func TestClientsThatAreRefused(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	for want, clients := range map[error][]redis.UniversalClient{
		errRing: {ring, wrapped{ring}, &overridden{ring}, &overridden{&wrapped{ring}}, &struct{ *redis.Ring }{ring}},
		errNilClient: {
			nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil), (*redis.Ring)(nil),
			wrapped{}, byPointer{}, wrapped{(*redis.ClusterClient)(nil)},
		},
	} {
		for _, rdb := range clients {
			k, err := ManagerFor(rdb)
			_, limits := StoreFor(rdb)
			if k != nil || !errors.Is(err, want) || !errors.Is(limits, want) {
				t.Errorf("%T: %v, %v, %v, want %v", rdb, k, err, limits, want)
			}
		}
	}
}

type application struct {
	redis.UniversalClient
	manager *lease.Manager // like a field with a Mutex
}

type overridingApplication struct{ application }

func (*overridingApplication) Process(context.Context, redis.Cmder) error { return nil }

// lockingHook is a hook that uses a lock.
type lockingHook struct {
	redistest.Hook
	manager *lease.Manager
}

// A client may refer to the primitives that use it. All of them are collected together. An unused manager
// is removed although its client is in use.
func TestClientsAreCollected(t *testing.T) {
	inUse := newClient(t)
	must(ManagerFor(inUse))(t)
	defer runtime.KeepAlive(inUse)
	for name, use := range map[string]func(rdb *redis.Client, collected func()){
		"a client": func(rdb *redis.Client, collected func()) {
			must(ManagerFor(rdb))(t)
			runtime.AddCleanup(rdb, func(f func()) { f() }, collected)
		},
		"an application that embeds it": func(rdb *redis.Client, collected func()) {
			a := &application{UniversalClient: rdb}
			a.manager = must(ManagerFor(a))(t)
			runtime.AddCleanup(a, func(f func()) { f() }, collected)
		},
		"an application that overrides it": func(rdb *redis.Client, collected func()) {
			a := &overridingApplication{application{UniversalClient: rdb}}
			a.manager = must(ManagerFor(a))(t)
			runtime.AddCleanup(a, func(f func()) { f() }, collected)
		},
		"a hook": func(rdb *redis.Client, collected func()) {
			rdb.AddHook(&lockingHook{manager: must(ManagerFor(rdb))(t)})
			runtime.AddCleanup(rdb, func(f func()) { f() }, collected)
		},
	} {
		var collected atomic.Bool
		func() {
			rdb := redis.NewClient(options())
			use(rdb, func() { collected.Store(true) })
			check(t, rdb.Close())
		}()
		redistest.Eventually(t, 10*time.Second, func() bool { runtime.GC(); return collected.Load() }, "%s is collected", name)
	}
	redistest.Eventually(t, 10*time.Second, func() bool {
		runtime.GC()
		storesMu.Lock()
		defer storesMu.Unlock()
		return len(stores) == 0
	}, "all managers are removed")
}

// The next manager may be made after the last one was collected, and before its cleanup.
func TestManagerIsMadeAgain(t *testing.T) {
	rdb := newClient(t)
	for range 20 {
		must(ManagerFor(rdb))(t)
		runtime.GC()
		k := must(ManagerFor(rdb))(t)
		runtime.GC()
		if again := must(ManagerFor(rdb))(t); again != k {
			t.Fatal("a manager in use was replaced")
		}
		runtime.KeepAlive(k)
	}
}
