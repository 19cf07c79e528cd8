package mutex_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestSlotMovesAtomically has a slot move at once, with all its keys, while a lock in it is held
// and awaited: there and back. The lock stays held, and is handed over afterwards.
func TestSlotMovesAtomically(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	slot := c.Slot(t, "key")
	a, b := mutex.New(c.Client(t), "key"), mutex.New(c.Client(t), "key")
	held := lock(t, a)
	for range 2 {
		next := b.LockChan(t.Context())
		redistest.Eventually(t, 10*time.Second, func() bool {
			s, err := a.Inspect(t.Context())
			return err == nil && s.Waiters == 1
		}, "it is awaited")
		if to := c.MoveAtomically(t, slot); to.Do(t, "EXISTS", "key") != int64(1) {
			t.Error("the key has not moved")
		}
		if err := held.Err(); err != nil {
			t.Errorf("held while the slot moved: %v", err)
		}
		if _, err := a.TryLockContext(t.Context()); !errors.Is(err, mutex.ErrLocked) {
			t.Errorf("a try of what is held: %v", err)
		}
		fence := held.Fence()
		if err := held.Unlock(); err != nil {
			t.Errorf("unlock after the move: %v", err)
		}
		r := <-next
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if held = r.Lease; held.Fence() <= fence {
			t.Errorf("fence %d after %d", held.Fence(), fence)
		}
		a, b = b, a
	}
	unlock(t, held)
}

// TestValuesMoveWithTheirSlot has a slot move while a leader, a Once that runs and a Flight that
// makes a value hold mutexes in it: observers, waiters and later callers get the values.
func TestValuesMoveWithTheirSlot(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	rdb, other := c.Client(t), c.Client(t)
	for _, key := range []string{"key", "{tag}key", "a}b"} {
		e, observed := mutex.NewElection(rdb, key), mutex.NewElection(other, key).Observe(t.Context())
		e.Value = "a"
		sees(t, observed, "")
		term := campaign(t, e)
		sees(t, observed, "a")

		inOnce, inFlight, moved := make(chan struct{}), make(chan struct{}), make(chan struct{})
		ran := make(chan error, 1)
		o, o2 := mutex.NewOnce(rdb, key+":once"), mutex.NewOnce(other, key+":once")
		fl, fl2 := mutex.NewFlight(rdb, key+":"), mutex.NewFlight(other, key+":")
		fl.Keep, fl2.Keep = time.Hour, time.Hour
		go func() {
			_, err := o.DoContext(t.Context(), func(context.Context) error { close(inOnce); <-moved; return nil })
			ran <- err
		}()
		made := fl.DoChan(t.Context(), "1", func(context.Context) ([]byte, error) { close(inFlight); <-moved; return []byte("v"), nil })
		<-inOnce
		<-inFlight
		shared := fl2.DoChan(t.Context(), "1", unwanted)
		waiters(t, fl2, 1)
		for _, k := range []string{key, key + ":once", key + ":1"} {
			c.Migrate(t, c.Slot(t, k)).Finish(t)
		}
		close(moved)
		if err := <-ran; err != nil {
			t.Errorf("%q: DoContext returns %v", key, err)
		}
		runs(t, "again", o2.DoContext, nil, false)
		for _, ch := range []<-chan mutex.FlightResult{made, shared} {
			if r := <-ch; string(r.Val) != "v" || r.Err != nil {
				t.Errorf("%q: got %+v", key, r)
			}
		}
		gets(t, "kept", fl2, unwanted, "v", true)
		leads(t, e, "a", term.Number())
		resign(t, term)
		sees(t, observed, "")
	}
}
