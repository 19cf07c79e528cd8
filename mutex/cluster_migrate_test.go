package mutex_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestValuesMoveWithTheirSlot moves a slot during a term, a run of a Once and a run of a Flight.
// Observers, waiters and later callers get the values.
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
		onceErr := make(chan error, 1)
		o, o2 := mutex.NewOnce(rdb, key+":once"), mutex.NewOnce(other, key+":once")
		fl, fl2 := mutex.NewFlight(rdb, key+":"), mutex.NewFlight(other, key+":")
		fl.Keep, fl2.Keep = time.Hour, time.Hour
		go func() {
			_, err := o.DoContext(t.Context(), func(context.Context) error { close(inOnce); <-moved; return nil })
			onceErr <- err
		}()
		own := fl.DoChan(t.Context(), "1", func(context.Context) ([]byte, error) { close(inFlight); <-moved; return []byte("v"), nil })
		<-inOnce
		<-inFlight
		shared := fl2.DoChan(t.Context(), "1", mustNotRun)
		awaitWaiters(t, inspectOne(fl2), 1)
		for _, k := range []string{key, key + ":once", key + ":1"} {
			c.Migrate(t, c.Slot(t, k)).Finish(t)
		}
		close(moved)
		if err := <-onceErr; err != nil {
			t.Errorf("%q: DoContext returns %v", key, err)
		}
		runs(t, "again", o2.DoContext, nil, false)
		for _, ch := range []<-chan mutex.FlightResult{own, shared} {
			if r := <-ch; string(r.Val) != "v" || r.Err != nil {
				t.Errorf("%q: got %+v", key, r)
			}
		}
		gets(t, "kept", fl2, mustNotRun, "v", true)
		leads(t, e, "a", term.Number())
		resign(t, term)
		sees(t, observed, "")
	}
}
