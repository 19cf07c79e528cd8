package mutex_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestRWMutexTTLs has a reader with a short TTL beside one with a long TTL, in one
// process or in two, which are then cut off: the short TTL never ends the other's
// hold before its time, nor keeps a writer out for longer than the long one.
func TestRWMutexTTLs(t *testing.T) {
	t.Parallel()
	const short, long = time.Second, 20 * time.Second
	for name, c := range map[string]struct {
		one       bool // process
		longFirst bool
	}{
		"OneProcess": {true, false}, "OneProcessLongFirst": {true, true}, "TwoProcesses": {false, false}, "TwoProcessesLongFirst": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mini := redistest.Mini(t)
				t.Cleanup(func() { time.Sleep(time.Second) })
				var gates [2]gate
				clients := [2]*redis.Client{redistest.MiniClient(t, mini), redistest.MiniClient(t, mini)}
				clients[0].AddHook(&gates[0])
				clients[1].AddHook(&gates[1])
				second := clients[1]
				if c.one {
					second = clients[0]
				}
				a, b := rwOf(clients[0], short), rwOf(second, long)
				var la, lb *mutex.Lease
				if c.longFirst {
					lb = rlock(t, b)
					time.Sleep(short / 2)
					la = rlock(t, a)
				} else {
					la = rlock(t, a)
					time.Sleep(short / 2)
					lb = rlock(t, b)
				}
				time.Sleep(time.Minute) // both are renewed
				if la.Err() != nil || lb.Err() != nil {
					t.Fatalf("after a minute: %v, %v", la.Err(), lb.Err())
				}
				start := time.Now()
				gates[0].shut.Store(true)
				gates[1].shut.Store(true)
				writer := mutex.NewRW(redistest.MiniClient(t, mini), "key").LockChan(t.Context())
				<-la.Done()
				if took := time.Since(start); !c.one && took > short {
					t.Errorf("the short one was told after %v", took)
				}
				<-lb.Done()
				if took := time.Since(start); took < long/2 || took > long {
					t.Errorf("the long one was told after %v", took)
				}
				excludes(t, writer, 0)
				r := <-writer
				if took := time.Since(start); r.Err != nil || took > long+2*time.Millisecond {
					t.Errorf("the writer got %v after %v", r.Err, took)
				}
				gates[0].shut.Store(false)
				gates[1].shut.Store(false)
				unlock(t, r.Lease)
			})
		})
	}
}

// TestRWMutexShortLeaves unlocks the reader with the long TTL: the other one is
// still renewed often enough.
func TestRWMutexShortLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		short, long := rwOf(rdb, time.Second), rwOf(rdb, time.Hour)
		l, s := rlock(t, long), rlock(t, short)
		unlock(t, l)
		time.Sleep(24 * time.Hour)
		unlock(t, s)
	})
}

// TestRWMutexDeadReader cuts a process of readers off while one of another process
// goes on: what was the dead one's ends by itself, and the other is not touched.
func TestRWMutexDeadReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		var cut gate
		dead := bubbleSibling(t, rdb)
		dead.AddHook(&cut)
		a, b, c := rwOf(dead, time.Second), rwOf(rdb, time.Second), rwOf(bubbleSibling(t, rdb), time.Second)
		lost := []*mutex.Lease{rlock(t, a), rlock(t, a)}
		alive := rlock(t, b)
		cut.shut.Store(true)
		writer := c.LockChan(t.Context())
		start := time.Now()
		for _, l := range lost {
			<-l.Done()
			if !errors.Is(l.Err(), mutex.ErrLost) {
				t.Errorf("a dead reader's lease says %v", l.Err())
			}
		}
		if took := time.Since(start); took > a.TTL {
			t.Errorf("the readers were told after %v", took)
		}
		time.Sleep(time.Minute)
		excludes(t, writer, 0)
		unlock(t, alive)
		time.Sleep(time.Millisecond)
		unlock(t, granted(t, "the writer", writer))
		cut.shut.Store(false)
	})
}

func TestRWMutexMaxHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := mutex.NewRW(rdb, "key"), mutex.NewRW(bubbleSibling(t, rdb), "key")
		m.MaxHold = time.Minute
		forgotten := wlock(t, m)
		start := time.Now()
		reader := rlock(t, other)
		if took := time.Since(start); took < m.MaxHold || took > m.MaxHold+m.TTL+10*time.Millisecond || !errors.Is(forgotten.Err(), mutex.ErrLost) {
			t.Errorf("a forgotten writer held for %v, and its lease says %v", took, forgotten.Err())
		}
		unlock(t, reader)

		// A forgotten reader among others of its process ends alone.
		forgotten, start = rlock(t, m), time.Now()
		endless := mutex.NewRW(rdb, "key")
		kept := rlock(t, endless)
		<-forgotten.Done()
		if took := time.Since(start); took < m.MaxHold || took > m.MaxHold+m.TTL+10*time.Millisecond || !errors.Is(forgotten.Err(), mutex.ErrLost) {
			t.Errorf("a forgotten reader held for %v, and its lease says %v", took, forgotten.Err())
		}
		time.Sleep(m.MaxHold)
		writer := other.LockChan(t.Context())
		time.Sleep(time.Minute)
		excludes(t, writer, 0)
		unlock(t, kept)
		time.Sleep(time.Millisecond)
		unlock(t, granted(t, "the writer", writer))

		// A forgotten RUnlock is as good as the last RLock, once no more come.
		m.RLock()
		for range 10 {
			time.Sleep(m.MaxHold / 2)
			m.RLock()
			m.RUnlock() //lint:ignore SA2001 only the hold counts
		}
		last := time.Now()
		w := wlock(t, other)
		if took := time.Since(last); took > m.MaxHold+m.TTL+10*time.Millisecond {
			t.Errorf("a forgotten RUnlock kept a writer out for %v", took)
		}
		m.RUnlock()
		unlock(t, w)
	})
}
