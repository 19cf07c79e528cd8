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

// Each way to lock tells when it waits, and when it has the lock, has lost it, or has given it back.
func TestTrace(t *testing.T) {
	eachInBubble(t, func(t *testing.T, rdb *redis.Client, k kind) {
		if k.more { // see TestTraceOfSeveralKeys
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
							t.Errorf("%s: while it waits it has told %q", name, got)
						}
					})
					time.AfterFunc(hold, func() { unlock(t, h) })
				}
				start := time.Now()
				end := get()
				synctest.Wait() // what is received from a channel is told at the same time
				if took := time.Since(start); !slices.Equal(r.Now(), want) || r.Waited() != took {
					t.Errorf("%s, held %s: it has told %q, %v after %v", name, where, r.Now(), r.Waited(), took)
				}
				time.Sleep(time.Second)
				end()
				if !slices.Equal(r.Now(), append(want, "released <nil>")) || r.Held() != time.Second {
					t.Errorf("%s: when all is over it has told %q, held for %v", name, r.Now(), r.Held())
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
		r.CheckTake(t, "a key that is gone", "acquired immediate", "lost key_missing")
		if r.Renewals() == 0 || r.Held() < mutex.DefaultTTL/2 || r.Held() > mutex.DefaultTTL {
			t.Errorf("it was renewed %d times and held for %v", r.Renewals(), r.Held())
		}
	})
}

// Of several keys, each has events of its own.
func TestTraceOfSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		p := mutex.NewPool(rdb, "{of one slot}") // so that they have an order
		var mu sync.Mutex
		told := map[string][]string{}
		add := func(_ context.Context, e mutex.Event) {
			mu.Lock()
			defer mu.Unlock()
			told[e.Key] = append(told[e.Key], e.Hook)
		}
		p.Trace = &mutex.Trace{Waiting: add, Acquired: add, Failed: add, Released: add}
		check := func(key string, want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told["{of one slot}"+key], want) {
				t.Errorf("of %s it tells %q, want %q", key, told["{of one slot}"+key], want)
			}
		}
		unlock(t, lockAll(t, p, "a", "b", "c"))
		for _, key := range []string{"a", "b", "c"} {
			check(key, "acquired", "released")
		}
		clear(told)
		h := lock(t, mutex.New(sibling(t, rdb), "{of one slot}b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.LockContext(ctx, "a", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		unlock(t, h)
		check("a", "acquired", "released")
		check("b", "waiting", "failed")
		clear(told)
		if r := <-p.LockChan(ctx, "a", "b"); r.Err == nil {
			t.Error("it is locked under a ctx that has ended")
		}
		check("a", "failed")
		check("b")
	})
}
