package mutex_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// What readers and writers of several processes do to one another, in time that
// the tests have for nothing.

// TestRWMutexWriterWaits has a writer of another process wait for readers: it
// keeps new ones out, here and elsewhere, and is the next.
func TestRWMutexWriterWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 3)
		a, b, c := fleet[0], fleet[1], fleet[2]
		first := rlock(t, a)
		time.Sleep(2 * time.Millisecond) // more than a quantum: who joins now sees to it that a hears
		second := rlock(t, a)
		time.Sleep(time.Millisecond)
		writer := b.LockChan(t.Context())
		time.Sleep(time.Millisecond)
		for _, m := range fleet {
			if m.TryRLock() {
				t.Error("a reader gets in while a writer waits")
			}
			if _, err := m.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
				t.Errorf("a try to lock what is held: %v", err)
			}
		}
		late := []<-chan mutex.Result{a.RLockChan(t.Context()), c.RLockChan(t.Context())}
		time.Sleep(time.Minute)
		for _, l := range late {
			excludes(t, l, 0)
		}
		excludes(t, writer, 0)
		unlock(t, first)
		time.Sleep(time.Minute)
		excludes(t, writer, 0)
		unlock(t, second)
		time.Sleep(time.Millisecond)
		w := granted(t, "the writer", writer)
		time.Sleep(time.Minute)
		for _, l := range late {
			excludes(t, l, 0)
		}
		unlock(t, w)
		time.Sleep(time.Millisecond)
		for _, l := range late {
			unlock(t, granted(t, "a reader after the writer", l))
		}
	})
}

// TestRWMutexFirstToJoin has a writer wait for a process that has had one reader for
// long, and so does not listen: the first that joins gets in, and sees to it that
// no more do.
func TestRWMutexFirstToJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 2)
		a, b := fleet[0], fleet[1]
		first := rlock(t, a)
		time.Sleep(time.Second)
		writer := b.LockChan(t.Context())
		time.Sleep(10 * time.Millisecond)
		second := rlock(t, a)
		time.Sleep(10 * time.Millisecond)
		if a.TryRLock() {
			t.Error("another joins")
		}
		third := a.RLockChan(t.Context())
		unlock(t, first)
		unlock(t, second)
		time.Sleep(time.Millisecond)
		excludes(t, third, 0)
		unlock(t, granted(t, "the writer", writer))
		time.Sleep(time.Millisecond)
		unlock(t, granted(t, "the reader", third))
	})
}

// TestRWMutexWriterLocal is the same inside one process.
func TestRWMutexWriterLocal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := bubbleFleet(t, 1)[0]
		m.RLock()
		writer := m.LockChan(t.Context())
		late := m.RLockChan(t.Context())
		time.Sleep(time.Minute)
		if m.TryRLock() || m.TryLock() {
			t.Error("a try gets in while a writer waits")
		}
		excludes(t, writer, 0)
		excludes(t, late, 0)
		m.RUnlock()
		time.Sleep(time.Millisecond)
		w := granted(t, "the writer", writer)
		excludes(t, late, 0)
		unlock(t, w)
		time.Sleep(time.Millisecond)
		unlock(t, granted(t, "the reader", late))
	})
}

// TestRWMutexWordLost has readers relieve one another for ever, and loses every
// message: the renewal tells them that a writer waits.
func TestRWMutexWordLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mini := redistest.Mini(t)
		a, b := mutex.NewRW(redistest.MiniClient(t, mini), "key"), mutex.NewRW(redistest.MiniClient(t, mini), "key")
		t.Cleanup(func() { time.Sleep(time.Second) })
		lost := 0
		mini.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
			if cmd != "PUBLISH" {
				return false
			}
			lost++
			p.WriteInt(0)
			return true
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var readers sync.WaitGroup
		defer readers.Wait()
		for range 8 { // of which some are always inside
			readers.Go(func() {
				for {
					l, err := a.RLockContext(ctx)
					if err != nil {
						return
					}
					time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond))
					unlock(t, l)
				}
			})
		}
		time.Sleep(time.Second)
		start := time.Now()
		patient, enough := context.WithTimeout(ctx, 2*a.TTL)
		defer enough()
		w, err := b.LockContext(patient)
		if err != nil {
			t.Fatalf("the writer is not let in: %v", err)
		}
		// The readers stop at the renewal. That the last of them has gone, b then
		// finds out by its poll.
		if took := time.Since(start); took > a.TTL/3+poll+100*time.Millisecond {
			t.Errorf("the writer was let in after %v", took)
		}
		if lost == 0 {
			t.Error("no message was lost")
		}
		unlock(t, w)
		cancel()
	})
}

// TestRWMutexOrder has processes wait one after the other: they get in in that
// order, and readers that are next to one another together.
func TestRWMutexOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kinds = "RWRRWWRRRW"
		fleet := bubbleFleet(t, 1+len(kinds))
		held := wlock(t, fleet[0])
		var mu sync.Mutex
		var got []byte // who is inside, and '|' when all have left
		inside := 0
		var wg sync.WaitGroup
		for i, kind := range []byte(kinds) {
			lock := fleet[1+i].LockChan
			if kind == 'R' {
				lock = fleet[1+i].RLockChan
			}
			wg.Go(func() {
				r := <-lock(t.Context())
				if r.Err != nil {
					t.Error(r.Err)
					return
				}
				mu.Lock()
				got = append(got, '0'+byte(i))
				inside++
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				if inside--; inside == 0 {
					got = append(got, '|')
				}
				mu.Unlock()
				unlock(t, r.Lease)
			})
			time.Sleep(10 * time.Millisecond) // until it is in the line
		}
		start := time.Now()
		unlock(t, held)
		wg.Wait()
		begin := 0
		for i, c := range got {
			if c == '|' {
				slices.Sort(got[begin:i])
				begin = i + 1
			}
		}
		if want := "0|1|23|4|5|678|9|"; string(got) != want {
			t.Errorf("the order was %s, not %s", got, want)
		}
		if took := time.Since(start); took > 7*time.Second+10*time.Millisecond {
			t.Errorf("seven turns of a second took %v", took)
		}
	})
}

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

// TestRWMutexFences has four processes read and write: the fence of a writer is
// above all before it, that of a reader above all writers before it.
func TestRWMutexFences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fleet := bubbleFleet(t, 4)
		var mu sync.Mutex
		var all, written int64
		var wg sync.WaitGroup
		for _, m := range fleet {
			for range 4 {
				wg.Go(func() {
					for range 25 {
						write := rand.IntN(4) == 0
						lock := m.RLockContext
						if write {
							lock = m.LockContext
						}
						l, err := lock(t.Context())
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						switch fence := l.Fence(); {
						case write && fence <= all:
							t.Errorf("a writer's fence is %d, after %d", fence, all)
						case fence <= written:
							t.Errorf("a reader's fence is %d, after a writer's %d", fence, written)
						case write:
							written = fence
						}
						all = max(all, l.Fence())
						mu.Unlock()
						time.Sleep(rand.N(time.Millisecond))
						unlock(t, l)
					}
				})
			}
		}
		wg.Wait()
	})
}

// TestRWMutexManyReaders has more readers join than a claim has fences for.
func TestRWMutexManyReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := bubbleFleet(t, 1)[0]
		before := wlock(t, m)
		unlock(t, before)
		var readers []*mutex.Lease
		for i := range 3000 {
			l := rlock(t, m)
			if l.Fence() <= before.Fence() || i > 0 && l.Fence() < readers[i-1].Fence() {
				t.Fatalf("reader %d has the fence %d, after a writer's %d", i, l.Fence(), before.Fence())
			}
			readers = append(readers, l)
		}
		last := readers[len(readers)-1].Fence()
		for _, l := range readers {
			unlock(t, l)
		}
		if w := wlock(t, m); w.Fence() <= last {
			t.Errorf("a writer's fence is %d, after a reader's %d", w.Fence(), last)
		} else {
			unlock(t, w)
		}
	})
}

// TestRWMutexInside has goroutines share one RWMutex, and the key is taken away
// under those who are inside: whom they exclude waits for them all the same.
func TestRWMutexInside(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(m *mutex.RWMutex) (lock, unlock func(), try func() bool){
		"Writer": func(m *mutex.RWMutex) (lock, unlock func(), try func() bool) { return m.Lock, m.Unlock, m.TryLock },
		"Reader": func(m *mutex.RWMutex) (lock, unlock func(), try func() bool) { return m.RLock, m.RUnlock, m.TryRLock },
	}
	for first, a := range kinds {
		for second, b := range kinds {
			if first == "Reader" && second == "Reader" {
				continue // they do not exclude one another
			}
			t.Run(first+"Then"+second, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rdb := bubbleClient(t)
					m, other := rwOf(rdb, time.Second), rwOf(bubbleSibling(t, rdb), time.Second)
					lockA, unlockA, _ := a(m)
					lockB, unlockB, tryB := b(m)
					lockA()
					if first == "Reader" {
						lockA() // and both must leave
					}
					rdb.Del(t.Context(), "key", "baton:{key}:holders")
					time.Sleep(m.TTL)
					entered := make(chan struct{})
					go func() {
						lockB()
						close(entered)
					}()
					waits := func() {
						t.Helper()
						time.Sleep(time.Minute)
						select {
						case <-entered:
							t.Fatal("two goroutines that exclude one another are inside")
						default:
						}
						if tryB() {
							t.Fatal("a try gets inside")
						}
						if !other.TryLock() {
							t.Fatal("the lock is held for somebody who cannot use it")
						}
						other.Unlock()
					}
					waits()
					if first == "Reader" {
						unlockA()
						waits()
					}
					l := wlock(t, other)
					unlockA() // late: it ends nothing
					time.Sleep(time.Minute)
					if l.Err() != nil {
						t.Errorf("a late Unlock has ended another's hold: %v", l.Err())
					}
					select {
					case <-entered:
						t.Fatal("two processes are inside")
					default:
					}
					unlock(t, l)
					<-entered
					mustPanic(t, "of unlocked RWMutex", func() { unlockA(); unlockA() })
					if first != second {
						unlockB()
					}
				})
			})
		}
	}
}

// TestRWMutexReadersAfterLoss loses a reader: another reader gets in beside it, and
// the first to leave ends what was lost.
func TestRWMutexReadersAfterLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := rwOf(rdb, time.Second), rwOf(bubbleSibling(t, rdb), time.Second)
		m.RLock()
		rdb.Del(t.Context(), "key", "baton:{key}:holders")
		time.Sleep(m.TTL)
		m.RLock()
		m.RUnlock() //lint:ignore SA2001 whose hold it ends is the question
		if other.TryLock() {
			t.Error("the reader that is left does not hold the lock")
		}
		m.RUnlock()
		if !other.TryLock() {
			t.Error("the lock is held though all readers have left")
		} else {
			other.Unlock()
		}
	})
}

func TestRWMutexDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := bubbleClient(t)
		m, other := mutex.NewRW(rdb, "key"), mutex.NewRW(bubbleSibling(t, rdb), "key")
		failed := errors.New("failed")
		for _, do := range []func(context.Context, func(context.Context) error) error{m.Do, m.RDo} {
			if err := do(t.Context(), func(context.Context) error {
				if other.TryLock() {
					t.Error("f runs without the lock")
				}
				return failed
			}); !errors.Is(err, failed) {
				t.Errorf("Do returned %v", err)
			}
			if err := do(t.Context(), func(ctx context.Context) error {
				rdb.Del(ctx, "key", "baton:{key}:holders")
				<-ctx.Done()
				return context.Cause(ctx)
			}); !errors.Is(err, mutex.ErrLost) {
				t.Errorf("Do returned %v after a loss", err)
			}
			mustPanic(t, "oh", func() { _ = do(t.Context(), func(context.Context) error { panic("oh") }) })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := do(ctx, func(context.Context) error { t.Error("f was called"); return nil }); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if err := m.RDo(t.Context(), func(context.Context) error {
			if !other.TryRLock() {
				t.Error("RDo keeps readers out")
			} else {
				other.RUnlock()
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if !other.TryLock() {
			t.Error("the lock is still held")
		} else {
			other.Unlock()
		}
	})
}
