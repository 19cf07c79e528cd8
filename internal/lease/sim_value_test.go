package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

// valueSim is what the simulations of values have in common. The mutex of the fake guards it.
type valueSim struct {
	*schedule
	managers []*Manager
	stores   []*fakeStore
	inside   *Lease
	fence    int64
	begun    int
	ttl      time.Duration
}

func newValueSim(sch *schedule) *valueSim {
	v := &valueSim{schedule: sch, ttl: simTTLs[sch.rng.IntN(3)]}
	sch.faultRate = faultRates[sch.rng.IntN(3)]
	for p := range 1 + sch.rng.IntN(4) {
		store := sch.store(p)
		v.stores, v.managers = append(v.stores, store), append(v.managers, NewManager(store))
	}
	return v
}

// run runs work in several goroutines of each process, and returns when Redis is at rest.
func (v *valueSim) run(work func(m *Manager, s *fakeStore, rng *rand.Rand)) {
	var wg sync.WaitGroup
	for p, m := range v.managers {
		for w := range 3 {
			wg.Go(func() { work(m, v.stores[p], rand.New(rand.NewPCG(v.seed, uint64(100*p+w)+50))) })
		}
		if v.faultRate > 0 {
			wg.Go(v.stores[p].breakSometimes)
		}
	}
	wg.Wait()
	time.Sleep(v.ttl + 2*WaiterTTL + 3*time.Second)
	synctest.Wait()
	if k := v.redis.key("key"); k.owner != "" {
		v.t.Errorf("still held by %s", k.owner)
	}
}

func (v *valueSim) enter(l *Lease) {
	v.redis.mu.Lock()
	defer v.redis.mu.Unlock()
	v.redis.log("begin %d", l.Fence())
	if v.inside != nil && v.inside.Err() == nil {
		v.t.Errorf("the hold with fence %d begins during that with fence %d", l.Fence(), v.inside.Fence())
	}
	if l.Fence() <= v.fence {
		v.t.Errorf("fence %d after %d", l.Fence(), v.fence)
	}
	v.inside, v.fence = l, l.Fence()
	v.begun++
}

func (v *valueSim) leave(l *Lease) {
	v.redis.mu.Lock()
	defer v.redis.mu.Unlock()
	if v.inside == l {
		v.inside = nil
	}
}

// TestSimulationElection runs candidates and observers in several processes, while the network fails
// and Redis loses the value. Terms grow and do not overlap. Observers see terms in order, and in the
// end no leader. A cancelled candidate leaves nothing.
func TestSimulationElection(t *testing.T) {
	simulateAll(t, func(sch *schedule) string {
		v := newValueSim(sch)
		ctx, stop := context.WithCancel(context.Background())
		var observers []*simObserver
		for p, m := range v.managers {
			o := &simObserver{t: sch.t}
			m.ObserveValue(ctx, v.stores[p], &Params{Key: "key"}, o)
			observers = append(observers, o)
		}
		v.run(func(m *Manager, s *fakeStore, rng *rand.Rand) {
			for range 6 {
				v.term(m, s, rng)
			}
		})
		for _, s := range v.stores {
			s.repair()
		}
		time.Sleep(MaxPollInterval + time.Second)
		stop()
		synctest.Wait()
		for p, o := range observers {
			if !o.closed || o.last != 0 {
				sch.t.Errorf("observer %d ends with term %d, closed: %v", p, o.last, o.closed)
			}
		}
		time.Sleep(time.Second)
		return fmt.Sprintf("%d processes, ttl %v, faults %v, %d terms", len(v.managers), v.ttl, v.faultRate, v.begun)
	})
}

// term campaigns once, and leads for a random time.
func (v *valueSim) term(m *Manager, s *fakeStore, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rng.IntN(3) == 0 {
		time.AfterFunc(rand.N(300*time.Millisecond), cancel)
	}
	t, p := NewTerm(s, "value"), Params{Kind: Mutex, Key: "key", TTL: v.ttl, Weight: 1, Term: true}
	var err error
	if rng.IntN(2) == 0 {
		results := result.NewChan(result.ErrorOnly{})
		t.CampaignChan(ctx, m, &p, results)
		err = <-results.C()
	} else {
		err = t.Campaign(ctx, m, &p)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrLost) {
			v.t.Errorf("not elected: %v", err)
		}
		return
	}
	v.enter(t.Lease())
	if rng.IntN(4) == 0 {
		v.redis.loseValue("key")
	}
	select {
	case <-time.After(time.Duration(rng.ExpFloat64() * []float64{0, 1e7, float64(v.ttl)}[rng.IntN(3)])):
	case <-t.Lease().Done():
	}
	v.leave(t.Lease())
	if err := t.Resign(); err != nil && v.faultRate == 0 {
		v.t.Errorf("Resign: %v", err)
	}
}

// simObserver is an observer that checks the order of terms.
type simObserver struct {
	t            *testing.T
	newest, last int64
	closed       bool
}

func (o *simObserver) HandleValue(r ValueReply) {
	if o.last = 0; r.Value != nil {
		o.last = r.Value.Fence
		if o.last < o.newest {
			o.t.Errorf("observed term %d after %d", o.last, o.newest)
		}
		o.newest = o.last
	}
}

func (o *simObserver) Close() { o.closed = true }

// TestSimulationOnce runs a function once, or once an interval, from several processes while the
// network fails. Runs do not overlap, and runs that are marked are an interval apart.
func TestSimulationOnce(t *testing.T) {
	simulateAll(t, func(sch *schedule) string {
		v := newValueSim(sch)
		every := []time.Duration{-1, time.Second, 10 * time.Second}[sch.rng.IntN(3)]
		var marked []time.Time // when the runs began
		v.run(func(m *Manager, s *fakeStore, rng *rand.Rand) {
			for range 6 {
				if began, ok := v.once(m, s, every, rng); ok {
					v.redis.mu.Lock()
					marked = append(marked, began)
					v.redis.mu.Unlock()
				}
				time.Sleep(time.Duration(rng.ExpFloat64() * float64(time.Second)))
			}
		})
		slices.SortFunc(marked, time.Time.Compare) // callers return in any order
		for i, began := range marked {
			if i > 0 && (every < 0 || began.Sub(marked[i-1]) < every) {
				v.t.Errorf("runs begin at %v, once in %v", marked, every)
			}
		}
		if len(marked) == 0 && v.faultRate == 0 {
			v.t.Error("no run is marked")
		}
		return fmt.Sprintf("%d processes, ttl %v, every %v, faults %v, %d runs, %d marked", len(v.managers), v.ttl, every, v.faultRate, v.begun, len(marked))
	})
}

// once makes one call. It reports whether it has marked a run, and when that run began on the server.
func (v *valueSim) once(m *Manager, s *fakeStore, every time.Duration, rng *rand.Rand) (began time.Time, marked bool) {
	ctx, reader := context.Background(), new(ValueReader)
	l := new(Lease)
	switch err := l.Acquire(ctx, m, &Params{Kind: Mutex, Key: "key", TTL: v.ttl, Weight: 1, Value: reader}); {
	case errors.Is(err, ErrValueFound):
		return began, false
	case err != nil:
		v.t.Errorf("not run: %v", err)
		return began, false
	}
	defer l.Release()
	begun := reader.Granted(l.Fence())
	for begun == nil {
		if r, err := s.ReadValue(ctx, "key"); err == nil {
			begun = &r
		} else if l.Err() != nil {
			return began, false
		}
	}
	if reader.Useful(*begun) || l.Err() != nil {
		return began, false
	}
	v.enter(l)
	time.Sleep(time.Duration(rng.ExpFloat64() * []float64{0, 1e7, float64(v.ttl)}[rng.IntN(3)]))
	v.leave(l)
	if rng.IntN(3) == 0 { // the function fails
		return began, false
	}
	outcome, _ := l.ReleaseValue(ctx, s, ValueWrite{Fresh: every, FreshSince: begun.Now, Reset: begun.Reset, Useful: true})
	return begun.Now, outcome == ValueStored
}
