package lease

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

var (
	simSeeds = flag.Int("sim.seeds", 150, "schedules for each simulation to run")
	simSeed  = flag.Uint64("sim.seed", 0, "run this schedule only, and print its trace")
)

// simUses are what a simulation can request.
var simUses = map[string]simUse{
	"Mutex": {kind: Mutex}, "RWMutex": {kind: RWMutex}, "Semaphore": {kind: Semaphore}, "MultiLease": {kind: Mutex, several: true}, "Election": {kind: Mutex, term: true},
}

type simUse struct {
	kind          Kind
	several, term bool
}

// TestSimulation runs random workloads of several processes against a fake Redis. The network loses,
// repeats and delays requests, replies and messages. Processes crash, sizes change, values are lost,
// calls are cancelled, and leases are released in parts.
//
// In every schedule, holds do not exceed the size, Redis keeps each hold for longer than its window,
// fences grow, and every caller gets a result in time. Once the network works again, no waiter waits
// for a free lock. In the end no goroutine, queue or key is left.
func TestSimulation(t *testing.T) {
	eachUse(t, *simSeeds, func(t *testing.T, use simUse, seed uint64) {
		simulate(t, &simulation{use: use, seed: seed, verbose: *simSeed != 0})
	})
}

// TestSweep runs short schedules. In each run, one of the possible faults happens to one of the events
// between engine and Redis, or the calls of a process are cancelled at that moment. The events come before a request is sent, after it was executed, before a
// message arrives, and before a subscription is acknowledged.
func TestSweep(t *testing.T) {
	eachUse(t, max(*simSeeds/100, 1), func(t *testing.T, use simUse, seed uint64) {
		for i, event := range simulate(t, &simulation{use: use, seed: seed, short: true}) {
			for n := range len(faultsAt(event)) + 1 {
				if simulate(t, &simulation{use: use, seed: seed, short: true, faultAt: i + 1, nth: n}); t.Failed() {
					return
				}
			}
		}
	})
}

func eachUse(t *testing.T, seeds int, run func(t *testing.T, use simUse, seed uint64)) {
	for name, use := range simUses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if *simSeed != 0 {
				run(t, use, *simSeed)
				return
			}
			first := rand.Uint64() >> 16
			for i := range seeds {
				if run(t, use, first+uint64(i)); t.Failed() {
					t.Fatalf("run again with: go test ./internal/lease -run '^%s$' -sim.seed %d", t.Name(), first+uint64(i))
				}
			}
		})
	}
}

// A simulation is one schedule.
type simulation struct {
	*testing.T
	use          simUse
	seed         uint64
	verbose      bool
	short        bool // with one fault at most: the nth possible one at event faultAt, or the end of all calls
	faultAt, nth int

	rng     *rand.Rand // for the choices at the start
	redis   *fakeRedis
	ttls    []time.Duration
	rate    float64 // of faults
	crash   bool    // of a process
	size    int64   // in the requests
	resized bool
	procs   []*simProcess
	running atomic.Bool // the workload

	mu       sync.Mutex // guards the fields below; locked before the mutex of redis
	faults   *rand.Rand
	events   []string // while running
	held     map[*Lease]int64
	fences   map[Name]*simFences
	requests []*simRequest
	grants   int
	lost     int
}

// simFences are the highest fences of a key so far.
type simFences struct {
	last, lastExclusive int64
	used                map[int64]bool
}

type simProcess struct {
	*Manager
	store  *fakeStore
	alive  context.Context
	crash  context.CancelFunc
	cutOff atomic.Bool // messages to it are lost
	calls  context.Context
	cancel context.CancelFunc // cancels the calls that have begun; guarded by the mutex of the simulation
}

// simulate runs a schedule, and returns its events.
func simulate(t *testing.T, s *simulation) []string {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		start := time.Now()
		last := func(n int) string { return text.String()[max(0, text.Len()-n):] }
		watchdog := time.AfterFunc(5*time.Hour, func() { panic(fmt.Sprintf("seed %d does not end: %s", s.seed, last(20000))) })
		s.T, s.redis, s.held, s.fences = t, newFakeRedis(), map[*Lease]int64{}, map[Name]*simFences{}
		s.redis.log = func(format string, args ...any) {
			fmt.Fprintf(&text, "%12v %s\n", time.Since(start), fmt.Sprintf(format, args...))
		}
		s.begin()
		watchdog.Stop()
		if s.verbose || t.Failed() {
			t.Logf("seed %d: %d processes, size %d, ttl %v, faults %v at %d (%d), crash %v, %d grants, %d lost, %v\n%s",
				s.seed, len(s.procs), s.size, s.ttls, s.rate, s.faultAt, s.nth, s.crash, s.grants, s.lost, time.Since(start), last(200000))
		}
	})
	return s.events
}

func (s *simulation) begin() {
	rng := rand.New(rand.NewPCG(s.seed, 0))
	s.rng, s.faults, s.rate = rng, rand.New(rand.NewPCG(s.seed, 100)), []float64{0, 0.01, 0.1}[rng.IntN(3)]
	if s.ttls = []time.Duration{300 * ms, time.Second, 10 * time.Second}; rng.IntN(2) == 0 {
		s.ttls = s.ttls[rng.IntN(3):][:1]
	}
	switch s.use.kind {
	case RWMutex:
		s.size = ExclusiveWeight
	case Semaphore:
		s.size, s.resized = 1+rng.Int64N(8), rng.IntN(3) == 0
	}
	processes, workers, rounds := 1+rng.IntN(4), 4, 8
	s.crash = rng.IntN(4) == 0
	if s.short {
		processes, workers, rounds, s.rate, s.crash = 2, 2, 2, 0, false
	}
	for n := range processes {
		s.procs = append(s.procs, s.process(n))
	}
	observed := s.observe()
	s.run(workers, rounds)
	if s.rate > 0 || s.crash { // and then all is well again
		for _, p := range s.procs {
			if p.alive.Err() == nil {
				p.store.setFault(fine)
			}
		}
		s.mu.Lock()
		s.rate, s.crash = 0, false
		s.mu.Unlock()
		time.Sleep(15*time.Second + 2*WaiterTTL)
		s.run(workers, 2)
	} else if s.lost > 0 && !s.short {
		s.Errorf("%d leases lost on a network without faults", s.lost)
	}
	time.Sleep(15*time.Second + 2*WaiterTTL) // until late requests were executed
	observed()
	synctest.Wait()
	s.checkAtRest()
}

func (s *simulation) process(n int) *simProcess {
	p := &simProcess{store: newFakeStore(s.redis)}
	p.Manager = NewManager(p.store)
	p.alive, p.crash = context.WithCancel(context.Background())
	p.calls, p.cancel = context.WithCancel(p.alive)
	rng := rand.New(rand.NewPCG(s.seed, uint64(n)+1))
	p.store.latency = func() time.Duration { return time.Duration(rng.Float64() * rng.Float64() * float64(3*ms)) }
	if s.short { // the events have an order
		p.store.setLatency(time.Duration(40+17*n) * time.Microsecond)
	}
	p.store.confirm = func() error {
		if s.event(p, "confirm") != fine {
			return fmt.Errorf("fake: %w", ErrUnconfirmed)
		}
		return nil
	}
	p.store.point = func(what string) fault {
		how := s.event(p, what)
		if how == cut {
			select {
			case p.store.disconnect <- struct{}{}:
			default: // there is no subscription
			}
		}
		return how
	}
	return p
}

// faultsAt returns the faults that can happen at an event.
func faultsAt(event string) []fault {
	switch what, _, _ := strings.Cut(event, " "); what {
	case "send":
		return []fault{lostRequest, lostReply, late, twice, slowRequest, cut}
	case "run":
		return []fault{slowReply, cut}
	case "message":
		return []fault{lostMessage, duplicatedMessage, delayedMessage, cut}
	}
	return []fault{cut}
}

// event returns the fault of an event.
func (s *simulation) event(p *simProcess, what string) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := faultsAt(what)
	running := s.running.Load()
	if running {
		s.events = append(s.events, what)
	}
	switch {
	case what == "message" && p.cutOff.Load():
		return lostMessage
	case running && s.faultAt == len(s.events) && s.nth >= len(all):
		p.cancel()
		p.calls, p.cancel = context.WithCancel(p.alive)
	case running && s.faultAt == len(s.events):
		return all[s.nth]
	case s.rate > 0 && s.faults.Float64() < s.rate:
		return all[s.faults.IntN(len(all))]
	}
	return fine
}

// run lets every worker acquire so many leases.
func (s *simulation) run(workers, rounds int) {
	var all, others sync.WaitGroup
	over := make(chan struct{})
	s.running.Store(true)
	for i, p := range s.procs {
		for w := range workers {
			rng := rand.New(rand.NewPCG(s.rng.Uint64(), uint64(100*i+w)))
			all.Go(func() {
				for range rounds {
					if p.alive.Err() == nil {
						s.oneLease(p, rng)
					}
				}
			})
		}
	}
	if s.crash {
		victim, after, cutOff := s.procs[0], time.Duration(s.rng.ExpFloat64()*float64(2*time.Second)), s.rng.IntN(2) == 0
		others.Go(func() {
			time.Sleep(after)
			victim.store.setFault(lostRequest)
			victim.cutOff.Store(cutOff)
			victim.crash()
		})
	}
	if s.resized {
		others.Go(func() {
			for range 6 {
				time.Sleep(time.Duration(s.rng.ExpFloat64() * float64(2*time.Second)))
				s.procs[0].store.publish(s.redis.resize(Name{Kind: Semaphore, Key: "key"}, s.size, 1+s.rng.Int64N(10)))
			}
		})
	}
	if s.rate == 0 && !s.crash && !s.short {
		others.Go(func() { s.findStalls(over) })
	}
	all.Wait()
	s.running.Store(false)
	close(over)
	others.Wait()
}

// A target is what a worker requests: a lease of one key or of several keys, or a term.
type target struct {
	acquire     func(ctx context.Context, p *Params) error
	acquireChan func(ctx context.Context, p *Params, sink result.Sink)
	release     func(permits int64) error
	leases      func() []*Lease
}

func (s *simulation) target(of *simProcess, rng *rand.Rand) target {
	m := of.Manager
	switch {
	case s.use.several:
		l, keys := new(MultiLease), []string{"a", "b", "c"}[rng.IntN(2):]
		return target{
			func(ctx context.Context, p *Params) error { return l.Acquire(ctx, m, *p, keys) },
			func(ctx context.Context, p *Params, sink result.Sink) { l.AcquireChan(ctx, m, *p, keys, sink) },
			func(int64) error { return l.Release() },
			func() []*Lease { return l.leases },
		}
	case s.use.term:
		t := NewTerm(of.store, "value")
		return target{
			func(ctx context.Context, p *Params) error { return t.Campaign(ctx, m, p) },
			func(ctx context.Context, p *Params, sink result.Sink) { t.CampaignChan(ctx, m, p, sink) },
			func(int64) error { return t.Resign() },
			func() []*Lease { return []*Lease{t.Lease()} },
		}
	}
	l := new(Lease)
	return target{
		func(ctx context.Context, p *Params) error { return l.Acquire(ctx, m, p) },
		func(ctx context.Context, p *Params, sink result.Sink) { l.AcquireChan(ctx, m, p, sink) },
		l.ReleasePermits,
		func() []*Lease { return []*Lease{l} },
	}
}

func (s *simulation) params(rng *rand.Rand) Params {
	ttl := s.ttls[rng.IntN(len(s.ttls))]
	p := Params{Kind: s.use.kind, Key: "key", TTL: ttl, Weight: 1, Size: s.size}
	if p.Term = s.use.term; p.Term {
		return p
	}
	p.Try, p.NotifyContention = rng.IntN(5) == 0, rng.IntN(4) == 0
	p.Linger, p.Replicas = time.Duration(rng.IntN(2))*ttl/10, max(rng.IntN(4)-1, 0)
	switch p.Shared = p.Kind == RWMutex && rng.IntN(3) > 0; {
	case p.Kind == Semaphore:
		p.Weight = 1 + rng.Int64N(s.size)
	case p.Kind == RWMutex && !p.Shared:
		p.Weight = ExclusiveWeight
	}
	if rng.IntN(10) == 0 {
		p.MaxHold = 1 + time.Duration(rng.Int64N(int64(ttl)))
	}
	return p
}

// oneLease requests a lease of a random kind, and ends it.
func (s *simulation) oneLease(p *simProcess, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(locked(&s.mu, func() context.Context { return p.calls }))
	defer cancel()
	ends := time.Now().Add(time.Hour)
	if rng.IntN(3) == 0 {
		after := time.Duration(rng.Int64N(int64(300 * ms)))
		ends = time.Now().Add(after)
		defer time.AfterFunc(after, cancel).Stop()
	}
	params, l := s.params(rng), s.target(p, rng)
	if rng.IntN(2) == 0 && !s.use.term {
		params.Trace = s.request().trace()
	}
	idle := params.MaxHold > 0 // it may end early
	bound, err := retry.MaxCancelTimeout, error(nil)
	if !params.Try && rng.IntN(2) == 0 {
		results := result.NewChan(result.ErrorOnly{})
		l.acquireChan(ctx, &params, results)
		if bound = retry.MaxResultTimeout; rng.IntN(10) == 0 { // not received until later: a grant must not stay
			time.Sleep(time.Duration(rng.Int64N(int64(2 * params.TTL))))
			cancel()
			idle, ends = true, time.Now()
		}
		err = <-results.C()
	} else {
		err = l.acquire(ctx, &params)
	}
	if late := time.Since(ends); late > 3*bound && p.alive.Err() == nil {
		s.Errorf("the call returns %v, %v after the end of ctx", err, late)
	}
	if err != nil {
		s.checkError(ctx, params, err)
		return
	}
	s.enter(l.leases(), params.Weight)
	if rng.IntN(4) == 0 {
		l.leases()[0].Contended()
	}
	if s.use.term && rng.IntN(4) == 0 {
		s.loseValue()
	}
	for left := params.Weight; left > 0; {
		part := left
		if s.use.kind == Semaphore && rng.IntN(4) == 0 {
			part = 1 + rng.Int64N(left)
		}
		hold := time.NewTimer(time.Duration(rng.ExpFloat64() * []float64{0, 1e5, 1e7, float64(params.TTL)}[rng.IntN(4)]))
		select {
		case <-hold.C:
		case <-l.leases()[0].Done():
		}
		if hold.Stop(); p.alive.Err() != nil { // a crashed process counts as a holder until its window ends
			for _, one := range l.leases() {
				<-one.Done()
			}
			s.leave(l.leases(), left)
			return
		}
		s.leave(l.leases(), part)
		err := l.release(part)
		if left -= part; errors.Is(err, ErrLost) {
			if s.leave(l.leases(), left); !idle {
				s.mu.Lock()
				s.lost++
				s.mu.Unlock()
			}
			left = 0
		} else if err != nil && s.rate == 0 && s.faultAt == 0 && p.alive.Err() == nil {
			s.Errorf("Release: %v", err)
		}
	}
	if l.leases()[0].Err() == nil {
		s.Error("a released lease has no error")
	}
}
