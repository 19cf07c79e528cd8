package mutex_test

import (
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestPoolCost is one request to lock each free key, and one to unlock it.
func TestPoolCost(t *testing.T) {
	s := redistest.Start(t)
	p := mutex.NewPool(s.Client(t, redistest.Patient), "{p}:")
	unlock(t, lockAll(t, p, "a")) // the server learns the scripts
	unlock(t, lockAll(t, p, "a", "b"))
	const n = 50
	for _, keys := range [][]string{{"a"}, {"a", "b", "c", "d"}} {
		for name, pair := range map[string]func(){
			"LockContext": func() { unlock(t, lockAll(t, p, keys...)) },
			"LockChan":    func() { unlock(t, (<-p.LockChan(t.Context(), keys...)).Lease) },
			"TryLockContext": func() {
				l, err := p.TryLockContext(t.Context(), keys...)
				if err != nil {
					t.Fatal(err)
				}
				unlock(t, l)
			},
			"Lock": func() {
				for _, key := range keys {
					p.Lock(key)
				}
				for _, key := range keys {
					p.Unlock(key)
				}
			},
		} {
			before := s.Stats(t)
			for range n {
				pair()
			}
			cost := s.Stats(t).Since(before)
			want := int64(2 * n * len(keys))
			if cost.Requests() != want || cost.Published() != 0 {
				t.Errorf("%s of %d keys, %d times: %d requests, %d messages", name, len(keys), n, cost.Requests(), cost.Published())
			}
		}
	}
}

var poolKeys = flag.Int("pool.keys", 100_000, "keys of TestPoolForgets; a million take a minute")

// TestPoolForgets locks a great many keys once: nothing of them stays in memory.
func TestPoolForgets(t *testing.T) {
	keys := *poolKeys
	if race || testing.Short() {
		keys /= 10
	}
	s := redistest.Start(t, "--save", "", "--appendonly", "no")
	// Few connections, so that all of them have their buffers at the start.
	rdb := s.Client(t, func(o *redis.Options) { o.PoolSize, o.PipelinePoolSize = 2, 2 })
	p := mutex.NewPool(rdb, "{p}:")
	const goroutines = 64
	touch := func(round string, keys int) {
		done := make(chan struct{}, goroutines)
		for g := range goroutines {
			go func() {
				for i := g; i < keys; i += goroutines {
					key := round + strconv.Itoa(i)
					p.Lock(key)
					p.Unlock(key)
				}
				done <- struct{}{}
			}()
		}
		for range goroutines {
			<-done
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what a first one finalizes
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	touch("first", 10*goroutines) // connections, buffers, scripts
	before := heap()
	touch("then", keys)
	grown := heap() - before
	t.Logf("%d keys: %d bytes more than before", keys, grown)
	if n := p.Entries(); n != 0 {
		t.Errorf("%d keys stay in the map", n)
	}
	if grown > 1<<18 { // a hundred thousand keys in a map take twenty times that
		t.Errorf("%d bytes stay in memory after %d keys", grown, keys)
	}
	// What is in Redis expires.
	if got := s.Do(t, "EVAL", `
		local left = 0
		for _, key in ipairs(redis.call('KEYS', '*')) do
			if redis.call('PTTL', key) < 0 then left = left + 1 end
		end
		return left`, 0); got != int64(0) {
		t.Errorf("%v keys in Redis do not expire", got)
	}
}

// TestPoolForgetsACrowd holds many keys at once: when all are free, the map that
// had room for them is gone.
func TestPoolForgetsACrowd(t *testing.T) {
	p := mutex.NewPool(miniClient(t), "")
	const keys = 3000
	for i := range keys {
		p.Lock(fmt.Sprint(i))
	}
	if n := p.Entries(); n != keys {
		t.Errorf("%d of %d keys are in the map", n, keys)
	}
	for i := range keys {
		p.Unlock(fmt.Sprint(i))
	}
	if n := p.Entries(); n != 0 {
		t.Errorf("%d keys stay in the map", n)
	}
}
