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

// A way is one of those to hold a lock while a function runs.
type way func(hold func())

// ways are all that there are, each with the Trace.
func ways(ctx context.Context, rdb *redis.Client, trace *mutex.Trace) map[string]way {
	m, rw, p := mutex.New(rdb, "key"), mutex.NewRW(rdb, "rw"), mutex.NewPool(rdb, "")
	m.Trace, rw.Trace, p.Trace = trace, trace, trace
	leased := func(get func() (*mutex.Lease, error)) way {
		return func(hold func()) {
			l, err := get()
			must(err)
			hold()
			must(l.Unlock())
		}
	}
	received := func(c <-chan mutex.Result) (*mutex.Lease, error) {
		x := <-c
		synctest.Wait() // what is received is told at the same time
		return x.Lease, x.Err
	}
	locked := func(l sync.Locker) way {
		return func(hold func()) {
			l.Lock()
			hold()
			l.Unlock()
		}
	}
	tried := func(try func() bool, unlock func()) way {
		return func(hold func()) {
			if !try() {
				panic("not locked")
			}
			hold()
			unlock()
		}
	}
	done := func(do func(context.Context, func(context.Context) error) error) way {
		return func(hold func()) {
			must(do(ctx, func(context.Context) error { hold(); return nil }))
		}
	}
	return map[string]way{
		"Lock":            locked(m),
		"TryLock":         tried(m.TryLock, m.Unlock),
		"LockContext":     leased(func() (*mutex.Lease, error) { return m.LockContext(ctx) }),
		"TryLockContext":  leased(func() (*mutex.Lease, error) { return m.TryLockContext(ctx) }),
		"LockChan":        leased(func() (*mutex.Lease, error) { return received(m.LockChan(ctx)) }),
		"Do":              done(m.Do),
		"RW Lock":         locked(rw),
		"RW RLock":        locked(rw.RLocker()),
		"RW TryLock":      tried(rw.TryLock, rw.Unlock),
		"RW TryRLock":     tried(rw.TryRLock, rw.RUnlock),
		"RW LockContext":  leased(func() (*mutex.Lease, error) { return rw.LockContext(ctx) }),
		"RW RLockContext": leased(func() (*mutex.Lease, error) { return rw.RLockContext(ctx) }),
		"RW RLockChan":    leased(func() (*mutex.Lease, error) { return received(rw.RLockChan(ctx)) }),
		"RW Do":           done(rw.Do),
		"RW RDo":          done(rw.RDo),
		"Pool Lock": func(hold func()) {
			p.Lock("a")
			hold()
			p.Unlock("a")
		},
		"Pool LockContext":    leased(func() (*mutex.Lease, error) { return p.LockContext(ctx, "a") }),
		"Pool LockChan":       leased(func() (*mutex.Lease, error) { return received(p.LockChan(ctx, "a")) }),
		"Pool TryLockContext": leased(func() (*mutex.Lease, error) { return p.TryLockContext(ctx, "a") }),
	}
}

// TestTrace locks in each way that there is, and checks what is told, and when.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var r redistest.Record[mutex.Event]
		for name, lock := range ways(t.Context(), rdb, (*mutex.Trace)(r.Trace())) {
			start := time.Now()
			lock(func() {
				if want := time.Since(start); !slices.Equal(r.Now(), []string{"acquired immediate"}) || r.Waited() != want {
					t.Errorf("%s: when it returns after %v it has told %q, %v", name, want, r.Now(), r.Waited())
				}
				time.Sleep(time.Second)
			})
			if !slices.Equal(r.Now(), []string{"acquired immediate", "released <nil>"}) || r.Held() != time.Second {
				t.Errorf("%s: when all is over it has told %q, held for %v", name, r.Now(), r.Held())
			}
			r.Take()
		}
		for _, lock := range ways(t.Context(), rdb, new(mutex.Trace)) {
			lock(func() { time.Sleep(mutex.DefaultTTL) })
		}
	})
}

// TestTraceCallsBack locks in each way, by functions that lock in the same way.
func TestTraceCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var trace mutex.Trace
		all := ways(t.Context(), rdb, &trace)
		inner := 0
		for _, lock := range all {
			trace.Released = func(context.Context, mutex.Event) {
				trace.Released = nil
				lock(func() { inner++ })
			}
			lock(func() {})
		}
		if inner != len(all) {
			t.Errorf("%d have locked again, want %d", inner, len(all))
		}
	})
}

// TestTraceWait has others hold what is wanted: here, and in another process.
func TestTraceWait(t *testing.T) {
	const hold = 400 * time.Millisecond
	for name, want := range map[string]string{"here": "local", "elsewhere": "notified"} {
		synctest.Test(t, func(t *testing.T) {
			rdb := bubbleClient(t)
			theirs := rdb
			if name == "elsewhere" {
				theirs = bubbleSibling(t, rdb)
			}
			var r redistest.Record[mutex.Event]
			their := ways(t.Context(), theirs, nil)
			for way, lock := range ways(t.Context(), rdb, (*mutex.Trace)(r.Trace())) {
				if strings.Contains(way, "Try") {
					continue
				}
				lockTheirs := their["Lock"]
				if of, _, ok := strings.Cut(way, " "); ok {
					lockTheirs = their[of+" Lock"]
				}
				inside := make(chan struct{})
				var wg sync.WaitGroup
				wg.Go(func() {
					lockTheirs(func() {
						close(inside)
						time.Sleep(hold)
					})
				})
				<-inside
				time.AfterFunc(hold/2, func() {
					synctest.Wait()
					if got := r.Now(); !slices.Equal(got, []string{"waiting"}) {
						t.Errorf("%s: while it waits it has told %q", way, got)
					}
				})
				start := time.Now()
				lock(func() {
					if took := time.Since(start); r.Waited() != took || took < hold {
						t.Errorf("%s: it has waited %v, and says %v", way, took, r.Waited())
					}
				})
				wg.Wait()
				r.CheckTake(t, way+", held "+name, "waiting", "acquired "+want, "released <nil>")
			}
		})
	}
}

// TestTracePoll has the holder die: its lock is found free by asking.
func TestTracePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		must(rdb.Set(t.Context(), "key", "by hand", 3*time.Second).Err())
		var r redistest.Record[mutex.Event]
		m := mutex.New(rdb, "key")
		m.Trace = (*mutex.Trace)(r.Trace())
		unlock(t, lock(t, m))
		r.CheckTake(t, "found free", "waiting", "acquired polled", "released <nil>")
		if r.Waited() < 3*time.Second {
			t.Errorf("it says that it has waited %v", r.Waited())
		}
	})
}

// TestTraceLoss loses the lock with its key, and because Redis is out of reach.
func TestTraceLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var outage redistest.Outage
		rdb.AddHook(&outage)
		var r redistest.Record[mutex.Event]
		m := mutex.New(rdb, "key")
		m.Trace = (*mutex.Trace)(r.Trace())

		l := lock(t, m)
		time.Sleep(mutex.DefaultTTL / 2)
		must(rdb.Del(t.Context(), "key").Err())
		<-l.Done()
		r.CheckTake(t, "a key that is gone", "acquired immediate", "lost key_missing")
		if r.Renewals() == 0 || r.Held() < mutex.DefaultTTL/2 || r.Held() > mutex.DefaultTTL {
			t.Errorf("it was renewed %d times and held for %v", r.Renewals(), r.Held())
		}
		if err := l.Unlock(); !errors.Is(err, mutex.ErrLost) {
			t.Error(err)
		}

		l = lock(t, m)
		outage.Set(true)
		<-l.Done()
		time.Sleep(time.Minute)
		r.CheckTake(t, "without Redis", "acquired immediate", "error renew", "lost renew_failed")
		outage.Set(false)
		unlock(t, lock(t, m))
	})
}

// TestTraceSeveralKeys has one of several keys be held.
func TestTraceSeveralKeys(t *testing.T) {
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
				t.Errorf("of %s it tells %q, want %q", key, told[key], want)
			}
		}
		l, err := p.LockContext(t.Context(), "a", "b", "c")
		must(err)
		unlock(t, l)
		for _, key := range []string{"a", "b", "c"} {
			check(key, "acquired", "released")
		}
		clear(told)
		held := lock(t, mutex.New(bubbleSibling(t, rdb), "{of one slot}b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.LockContext(ctx, "a", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		unlock(t, held)
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

// TestTraceContext hands on what the ctx of a request has, long after it.
func TestTraceContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var values []any
		note := func(ctx context.Context, _ mutex.Event) { values = append(values, ctx.Value(key{})) }
		m := mutex.New(bubbleClient(t), "key")
		m.Trace = &mutex.Trace{Acquired: note, Renewed: note, Released: note}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "mine"))
		l, err := m.LockContext(ctx)
		must(err)
		cancel()
		time.Sleep(mutex.DefaultTTL / 2)
		unlock(t, l)
		if !slices.Equal(values, []any{"mine", "mine", "mine"}) {
			t.Errorf("the values are %v", values)
		}
	})
}
