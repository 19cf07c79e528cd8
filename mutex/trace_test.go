package mutex_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// Each method that locks emits events for its wait, its grant, a loss and a release.
func TestTrace(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		if k.twoKeys { // see TestTraceOfSeveralKeys
			return
		}
		const hold = 400 * time.Millisecond
		var r redistest.Record[mutex.Event]
		l := k.of(rdb, "key", options{ttl: mutex.DefaultTTL, trace: (*mutex.Trace)(r.Trace())})
		for name, get := range l.ways(t) {
			for where, want := range map[string][]string{"": {"acquired immediate"}, "here": {"waiting", "acquired local"}, "elsewhere": {"waiting", "acquired notified"}} {
				if where != "" {
					if strings.HasPrefix(name, "Try") {
						continue
					}
					other := rdb
					if where == "elsewhere" {
						other = sibling(t, rdb)
					}
					h := k.rival().of(other, "key", standard).hold(t)
					time.AfterFunc(hold/2, func() {
						if got := r.Now(); !slices.Equal(got, want[:1]) {
							t.Errorf("%s: during the wait, the events are %q", name, got)
						}
					})
					time.AfterFunc(hold, func() { unlock(t, h) })
				}
				start := time.Now()
				end := get()
				synctest.Wait() // a receive and its event are concurrent
				if took := time.Since(start); !slices.Equal(r.Now(), want) || r.Waited() != took {
					t.Errorf("%s, held %s: after %v, the events are %q, with a wait of %v", name, where, took, r.Now(), r.Waited())
				}
				time.Sleep(time.Second)
				end()
				if !slices.Equal(r.Now(), append(want, "released <nil>")) || r.Held() != time.Second {
					t.Errorf("%s: at the end, the events are %q, with a hold of %v", name, r.Now(), r.Held())
				}
				r.Take()
			}
		}
		for _, get := range k.of(rdb, "key", options{ttl: mutex.DefaultTTL, trace: new(mutex.Trace)}).ways(t) {
			end := get()
			time.Sleep(mutex.DefaultTTL)
			end()
		}

		h := l.hold(t)
		time.Sleep(mutex.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-h.Done()
		r.CheckTake(t, "a deleted key", "acquired immediate", "lost key_missing")
		if r.Renewals() == 0 || r.Held() < mutex.DefaultTTL/2 || r.Held() > mutex.DefaultTTL {
			t.Errorf("%d renewals, and a hold of %v", r.Renewals(), r.Held())
		}
	})
}

// Each of several keys has its own events.
func TestTraceOfSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "{slot}") // keys of one slot have an order
		var mu sync.Mutex
		events := map[string][]string{}
		add := func(_ context.Context, e mutex.Event) {
			mu.Lock()
			defer mu.Unlock()
			events[e.Key] = append(events[e.Key], e.Hook)
		}
		p.Trace = &mutex.Trace{Waiting: add, Acquired: add, Failed: add, Released: add}
		check := func(key string, want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := events["{slot}"+key]; !slices.Equal(got, want) {
				t.Errorf("the events of %s are %q, want %q", key, got, want)
			}
		}
		unlock(t, lockAll(t, p, "a", "b", "c"))
		for _, key := range []string{"a", "b", "c"} {
			check(key, "acquired", "released")
		}
		clear(events)
		h := lock(t, mutex.New(sibling(t, rdb), "{slot}b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.LockContext(ctx, "a", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		unlock(t, h)
		check("a", "acquired", "released")
		check("b", "waiting", "failed")
		clear(events)
		if r := <-p.LockChan(ctx, "a", "b"); r.Err == nil {
			t.Error("LockChan with a done ctx succeeds")
		}
		check("a", "failed")
		check("b")
	})
}
