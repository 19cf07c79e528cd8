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
		time.Sleep(2 * time.Millisecond) // more than a time slice: who joins now sees to it that a hears
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

// TestRWMutexNoticeLost has readers relieve one another for ever, and loses every
// message: the renewal tells them that a writer waits.
func TestRWMutexNoticeLost(t *testing.T) {
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
