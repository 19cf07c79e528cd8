package mutex_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// What one operation may cost, by the server's own counters.

func TestRWMutexCostUncontended(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	m := mutex.NewRW(s.Client(t, redistest.Patient), "key")
	for name, pair := range map[string]func(){
		"Lock":          func() { unlock(t, wlock(t, m)) },
		"RLock":         func() { unlock(t, rlock(t, m)) },
		"Lock, sync's":  func() { m.Lock(); m.Unlock() },   //lint:ignore SA2001 only the cost counts
		"RLock, sync's": func() { m.RLock(); m.RUnlock() }, //lint:ignore SA2001 only the cost counts
		"TryLock": func() {
			if m.TryLock() {
				m.Unlock()
			}
		},
		"TryRLock": func() {
			if m.TryRLock() {
				m.RUnlock()
			}
		},
	} {
		pair() // the server learns the scripts
		const n = 50
		before := s.Stats(t)
		for range n {
			pair()
		}
		if cost := s.Stats(t).Since(before); cost.Requests() != 2*n || cost.Published() != 0 {
			t.Errorf("%s: %d pairs cost %d requests, %d messages", name, n, cost.Requests(), cost.Published())
		}
	}
}

// TestRWMutexCostReaders has readers join those of their process: no request, but
// for what a claim that is older than a time slice costs once, a subscription and a
// renewal.
func TestRWMutexCostReaders(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	join := func(m *mutex.RWMutex) (first *mutex.Lease, cost redistest.Stats) {
		first = rlock(t, m)
		<-time.After(30 * time.Millisecond) // more than a time slice
		before := s.Stats(t)
		unlock(t, rlock(t, m))
		redistest.Eventually(t, time.Second, func() bool { return s.Stats(t).Since(before).Scripts() > 0 }, "it makes sure that it hears")
		return first, s.Stats(t).Since(before)
	}
	other, _ := join(mutex.NewRW(s.Client(t, redistest.Patient), "other"))
	unlock(t, other) // the server has learned the scripts
	m := mutex.NewRW(s.Client(t, redistest.Patient), "key")
	first, cost := join(m)
	if cost.Subscribes() != 1 || cost.Scripts() != 1 {
		t.Errorf("to make sure that it hears costs %d subscriptions, %d requests", cost.Subscribes(), cost.Scripts())
	}
	before := s.Stats(t)
	start := time.Now()
	var leases []*mutex.Lease
	for range 500 {
		leases = append(leases, rlock(t, m))
		m.RLock()
		if !m.TryRLock() {
			t.Fatal("no reader can join")
		}
		m.RUnlock()
	}
	for _, l := range leases {
		unlock(t, l)
		m.RUnlock()
	}
	renewals := int64(time.Since(start) / (m.TTL / 3))
	if cost := s.Stats(t).Since(before); cost.Requests() > renewals || cost.Published() != 0 {
		t.Errorf("1500 readers that joined cost %d requests, %d messages", cost.Requests(), cost.Published())
	}
	before = s.Stats(t)
	unlock(t, first)
	if cost := s.Stats(t).Since(before); cost.Scripts() != 1 {
		t.Errorf("the last reader's unlock cost %d requests", cost.Scripts())
	}
	rwRests(t, s, 0)
}

// TestRWMutexCostHandOver has the readers of four processes wait for a writer:
// they get in together, and that costs one message for each process that waits.
// So does the way back to a writer.
func TestRWMutexCostHandOver(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"WriterAmongThem": true, "WriterElsewhere": false} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			var fleet []*mutex.RWMutex
			for range 4 {
				fleet = append(fleet, mutex.NewRW(s.Client(t, redistest.Patient), "key"))
			}
			w, waiting := mutex.NewRW(s.Client(t, redistest.Patient), "key"), int64(4)
			if own { // its own readers are the first in its line
				w, waiting = fleet[0], 3
			}
			unlock(t, wlock(t, w)) // the server learns the scripts
			for i := range 2 {     // the first round opens the subscriptions
				held := wlock(t, w)
				var results []<-chan mutex.Result
				for _, m := range fleet {
					for range 3 {
						results = append(results, m.RLockChan(t.Context()))
					}
				}
				awaitRWQueue(t, s, waiting)
				before := s.Stats(t)
				unlock(t, held)
				var leases []*mutex.Lease
				for _, c := range results {
					leases = append(leases, receive(t, "a reader", c, 0))
				}
				cost := s.Stats(t).Since(before)
				if cost.Published() != waiting || cost.Scripts() != 1 || cost.Subscribes() != 0 {
					t.Errorf("round %d: to let %d processes in cost %d messages, %d requests, %d subscriptions",
						i, waiting, cost.Published(), cost.Scripts(), cost.Subscribes())
				}
				if n := holdersOf(t, s); n != 4 {
					t.Errorf("%d processes hold it", n)
				}
				// A writer that waits elsewhere: one message each, to keep new readers out.
				other := mutex.NewRW(s.Client(t, redistest.Patient), "key")
				before = s.Stats(t)
				next := rwQueued(t, s, other.LockChan, 1)
				if n := s.Stats(t).Since(before).Published(); n != 4 {
					t.Errorf("round %d: word to 4 processes cost %d messages", i, n)
				}
				before = s.Stats(t)
				for _, l := range leases {
					unlock(t, l)
				}
				unlock(t, receive(t, "the writer", next, 0))
				if cost := s.Stats(t).Since(before); cost.Published() != 1 || cost.Scripts() != 5 {
					t.Errorf("round %d: to let the writer in cost %d messages, %d requests", i, cost.Published(), cost.Scripts())
				}
			}
			rwRests(t, s, 0)
		})
	}
}

// TestRWMutexWriterAmongReaders has a writer come again and again to 4 × 8 readers
// that relieve one another: it is let in when those who are inside have left.
func TestRWMutexWriterAmongReaders(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for range 4 {
		m := mutex.NewRW(s.Client(t, redistest.Patient), "key")
		for range 8 {
			readers.Go(func() {
				for ctx.Err() == nil {
					m.RLock()
					<-time.After(2 * time.Millisecond)
					m.RUnlock()
				}
			})
		}
	}
	w := mutex.NewRW(s.Client(t, redistest.Patient), "key")
	for range 20 {
		unlock(t, receive(t, "a writer among readers", w.LockChan(t.Context()), 0))
		<-time.After(5 * time.Millisecond)
	}
}
