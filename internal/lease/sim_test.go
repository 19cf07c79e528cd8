package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSimulation and its siblings run random workloads of several processes against a fake Redis.
// The network loses, repeats and delays requests, replies and messages. Processes crash, sizes
// change, and leases are released in parts.
//
// In every schedule, holds do not exceed the size, each hold has its own fence, and every caller
// gets a result. Once the network works again, no waiter waits for a free lock, and no permit stays
// granted without a lease. In the end no goroutine, queue or key is left.
func TestSimulation(t *testing.T) {
	simulateAll(t, func(s *schedule) string { return simulate(s, Mutex) })
}

func TestSimulationRWMutex(t *testing.T) {
	simulateAll(t, func(s *schedule) string { return simulate(s, RWMutex) })
}

func TestSimulationSemaphore(t *testing.T) {
	simulateAll(t, func(s *schedule) string { return simulate(s, Semaphore) })
}

// A simulation is one schedule.
type simulation struct {
	*schedule
	audit   audit // checks half of the requests
	name    Name
	size    int64 // in the requests
	resized bool
	ttls    []time.Duration
	procs   []*simProcess

	mu            sync.Mutex // guards the fields below; locked before the mutex of redis
	inside        map[*Lease]int64
	fences        map[int64]bool
	last          int64 // fence of all so far
	lastExclusive int64 // of a writer
	grants        int
	lost          int
}

type simProcess struct {
	*Manager
	store  *fakeStore
	alive  context.Context
	crash  context.CancelFunc
	cutOff *atomic.Bool // messages to it are lost
}

const simWorkers = 4

func simulate(sch *schedule, kind Kind) string {
	rng := sch.rng
	s := &simulation{schedule: sch, audit: audit{t: sch.t}, name: Name{Kind: kind, Key: "key"}, size: ExclusiveWeight, inside: map[*Lease]int64{}, fences: map[int64]bool{}}
	s.faultRate = faultRates[rng.IntN(3)]
	if s.ttls = simTTLs; rng.IntN(2) == 0 {
		s.ttls = simTTLs[rng.IntN(3):][:1]
	}
	if kind == Semaphore {
		s.size, s.resized = 1+rng.Int64N(8), rng.IntN(3) == 0
	}
	for p := range 1 + rng.IntN(4) {
		s.procs = append(s.procs, s.process(p))
	}
	crash := rng.IntN(4) == 0
	s.run(s.seed, 8, s.faultRate == 0 && !crash, crash)
	if s.faultRate > 0 || crash { // and then all is well again
		for _, p := range s.procs {
			if p.alive.Err() == nil {
				p.store.repair()
			}
		}
		time.Sleep(15*time.Second + 2*WaiterTTL)
		s.run(s.seed+1<<40, 2, true, false)
	}
	time.Sleep(15*time.Second + 2*WaiterTTL) // until late requests were executed
	synctest.Wait()
	s.checkAtRest()
	s.audit.check()
	if s.faultRate == 0 && s.lost > 0 {
		s.t.Errorf("%d leases lost on a network without faults", s.lost)
	}
	return fmt.Sprintf("%d processes, size %d, ttl %v, faults %v, crash %v, %d grants, %d lost", len(s.procs), s.size, s.ttls, s.faultRate, crash, s.grants, s.lost)
}

func (s *simulation) process(p int) *simProcess {
	store, cutOff := s.store(p), new(atomic.Bool)
	store.point = func(what string) fault {
		if what == "message" && cutOff.Load() {
			return lostMessage
		}
		return fine
	}
	alive, crash := context.WithCancel(context.Background())
	return &simProcess{NewManager(store), store, alive, crash, cutOff}
}

// run lets every worker acquire so many leases, while connections break.
func (s *simulation) run(seed uint64, rounds int, calm, crash bool) {
	rng := rand.New(rand.NewPCG(seed, 99))
	var all, others sync.WaitGroup
	over := make(chan struct{})
	for i, p := range s.procs {
		for w := range simWorkers {
			rng := rand.New(rand.NewPCG(seed, uint64(100*i+w)+50))
			all.Go(func() {
				for range rounds {
					if p.alive.Err() == nil {
						s.oneLease(p, rng)
					}
				}
			})
		}
		if s.faultRate > 0 && !calm {
			others.Go(p.store.breakSometimes)
		}
	}
	if crash {
		victim, after := s.procs[0], time.Duration(rng.ExpFloat64()*float64(2*time.Second))
		cutOff := rng.IntN(2) == 0
		others.Go(func() {
			time.Sleep(after)
			victim.store.setFault(lostRequest)
			s.redis.logf("%s crashes", victim.Channel())
			victim.cutOff.Store(cutOff)
			victim.crash()
		})
	}
	if s.resized {
		others.Go(func() {
			for range 6 {
				time.Sleep(time.Duration(rng.ExpFloat64() * float64(2*time.Second)))
				s.procs[0].store.publish(s.redis.resize(s.name, s.size, 1+rng.Int64N(10)))
			}
		})
	}
	if calm && s.name.Kind != Mutex {
		others.Go(func() { s.findStalls(over) })
	}
	all.Wait()
	close(over)
	others.Wait()
}

// simLinger returns a Linger for half of the leases.
func simLinger(rng *rand.Rand, ttl time.Duration) time.Duration {
	return time.Duration(rng.IntN(2)) * ttl / 10
}

// oneLease requests a lease of a random kind, and ends it.
func (s *simulation) oneLease(p *simProcess, rng *rand.Rand) {
	ctx, cancel := context.WithCancel(p.alive)
	defer cancel()
	if rng.IntN(3) == 0 {
		defer time.AfterFunc(time.Duration(rng.Int64N(int64(300*time.Millisecond))), cancel).Stop()
	}
	ttl := s.ttls[rng.IntN(len(s.ttls))]
	params := Params{Kind: s.name.Kind, Key: s.name.Key, TTL: ttl, Weight: ExclusiveWeight, Size: s.size, Try: rng.IntN(5) == 0, Linger: simLinger(rng, ttl), Replicas: max(rng.IntN(4)-1, 0)}
	switch {
	case s.name.Kind == Mutex:
		params.Weight, params.Size = 1, 0
	case s.name.Kind == Semaphore:
		params.Weight = 1 + rng.Int64N(s.size)
	case rng.IntN(3) > 0:
		params.Weight, params.Shared = 1, true
	}
	if rng.IntN(10) == 0 {
		params.MaxHold = 1 + rand.N(ttl)
	}
	if rng.IntN(2) == 0 {
		ctx, _ = s.audit.begin(ctx, "a request")
		params.Trace = s.audit.trace()
	}
	l, idle := new(Lease), params.MaxHold > 0
	if !params.Try && rng.IntN(2) == 0 {
		results := result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, p.Manager, &params, results)
		if rng.IntN(10) == 0 { // abandoned: a grant must not stay
			time.Sleep(time.Duration(rng.Int64N(int64(2 * ttl))))
			cancel()
			if err := <-results.C(); err != nil {
				return
			}
			idle = true // not renewed so far, so the lease may end immediately
		} else if err := <-results.C(); err != nil {
			s.checkError(ctx, params, err)
			return
		}
	} else if err := l.Acquire(ctx, p.Manager, &params); err != nil {
		s.checkError(ctx, params, err)
		return
	}
	if p.alive.Err() != nil { // a crashed process counts as a holder until its window ends
		s.enter(l, params.Weight)
		<-l.Done()
		s.leave(l, params.Weight)
		return
	}
	s.enter(l, params.Weight)
	for left := params.Weight; left > 0; {
		part := left
		if s.name.Kind == Semaphore && rng.IntN(4) == 0 {
			part = 1 + rng.Int64N(left)
		}
		hold := time.NewTimer(time.Duration(rng.ExpFloat64() * []float64{0, 1e5, 1e7, float64(ttl)}[rng.IntN(4)]))
		select {
		case <-hold.C:
		case <-l.Done():
		}
		hold.Stop()
		if p.alive.Err() != nil {
			<-l.Done()
			s.leave(l, left)
			return
		}
		s.leave(l, part)
		err := l.ReleasePermits(part)
		if left -= part; errors.Is(err, ErrLost) {
			if s.leave(l, left); !idle {
				s.mu.Lock()
				s.lost++
				s.mu.Unlock()
			}
			left = 0
		} else if err != nil && s.faultRate == 0 && p.alive.Err() == nil {
			s.t.Errorf("Release: %v", err)
		}
	}
	if l.Err() == nil {
		s.t.Error("a released lease has no error")
	}
}

func (s *simulation) checkError(ctx context.Context, p Params, err error) {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
	case p.Try && (errors.Is(err, ErrLocked) || errors.Is(err, ErrNotAvailable) || errors.Is(err, ErrUnconfirmed) || errors.Is(err, errNetwork) || errors.Is(err, retry.ErrNoAnswer)):
	case errors.Is(err, ErrLost): // granted, and not received in time from the channel
	case isSizeError(err) && s.resized:
	default:
		s.t.Errorf("refused with %v", err)
	}
}

func (s *simulation) enter(l *Lease, weight int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside[l] = weight
	s.redis.logf("enter %s with %d, fence %d", short(l.claim.token), weight, l.fence)
	s.grants++
	if l.Err() == nil {
		switch {
		case s.name.Kind == Semaphore && s.fences[l.fence]:
			s.t.Errorf("fence %d twice", l.fence)
		case s.name.Kind == RWMutex && l.fence <= s.lastExclusive, s.exclusive(weight) && l.fence <= s.last:
			s.t.Errorf("fence %d after %d, and %d of a writer", l.fence, s.last, s.lastExclusive)
		}
		s.fences[l.fence], s.last = true, max(s.last, l.fence)
		if s.exclusive(weight) {
			s.lastExclusive = l.fence
		}
	}
	s.check()
}

// exclusive reports whether a hold of that weight excludes all others.
func (s *simulation) exclusive(weight int64) bool {
	return s.name.Kind == Mutex || weight == ExclusiveWeight
}

func (s *simulation) leave(l *Lease, part int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	s.redis.logf("leave %s with %d", short(l.claim.token), part)
	if s.inside[l] -= part; s.inside[l] == 0 {
		delete(s.inside, l)
	}
}

// check compares all unexpired leases with the size, and those of each process with what Redis has
// granted to it.
func (s *simulation) check() {
	var sum int64
	of := map[string]int64{}
	writers, readers := 0, 0
	for l, weight := range s.inside {
		if l.Err() != nil {
			continue
		}
		if sum += weight; l.shared {
			readers++
			of[l.claim.token] = max(of[l.claim.token], 1)
		} else {
			of[l.claim.token] += weight
			writers++
		}
	}
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	if s.name.Kind == Mutex {
		if sum > 1 || sum == 1 && of[s.redis.key(s.name.Key).owner] != 1 {
			s.t.Errorf("%v: %d hold it, and Redis has %q as the owner of %v", time.Now(), sum, s.redis.key(s.name.Key).owner, of)
		}
		return
	}
	p := s.redis.permitsOf(s.name)
	switch {
	case s.name.Kind == RWMutex && (writers > 1 || writers > 0 && readers > 0):
		s.t.Errorf("%v: %d writers and %d readers", time.Now(), writers, readers)
	case s.name.Kind == Semaphore && sum > s.size && !s.resized:
		s.t.Errorf("%v: %d permits in use of %d", time.Now(), sum, s.size)
	}
	for token, weight := range of {
		if h := p.hold(token); h == nil || h.weight < weight {
			s.redis.log("%s has leases of %d", short(token), weight)
			s.t.Errorf("%s has leases of %d, in Redis %+v", token, weight, h)
		}
	}
}

// findStalls reports waiters that could have been granted for long, and permits that are granted
// without a lease for long. The network must have no faults.
func (s *simulation) findStalls(over <-chan struct{}) {
	const step, limit = 50 * time.Millisecond, 2 * time.Second
	since := map[any]time.Time{}
	for {
		select {
		case <-over:
			return
		case <-time.After(step):
		}
		now := map[any]string{}
		for _, p := range s.procs {
			if p.alive.Err() == nil {
				s.stalls(p, now)
			}
		}
		for what := range since {
			if now[what] == "" {
				delete(since, what)
			}
		}
		for what, text := range now {
			if since[what].IsZero() {
				since[what] = time.Now()
			} else if time.Since(since[what]) > limit {
				s.t.Errorf("%v: %s", time.Now(), text)
				since[what] = time.Now().Add(time.Hour)
			}
		}
	}
}

func (s *simulation) stalls(p *simProcess, found map[any]string) {
	p.Manager.mu.Lock()
	kq := p.queues.Entries[s.name]
	p.Manager.mu.Unlock()
	if kq == nil {
		return
	}
	kq.mu.Lock()
	defer kq.mu.Unlock()
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	q := s.redis.permitsOf(s.name)
	var used int64
	for token := range q.holds {
		if h := q.hold(token); h != nil {
			used += h.weight
		}
	}
	head, c := kq.waiters.head, kq.claim
	switch {
	case c == nil || c.state != claimActive:
		return
	case head != nil && used+head.weight <= q.size && (len(q.queue) == 0 || q.queue[0].token == c.token):
		s.redis.log("%s wants %d", short(c.token), head.weight)
		found[head] = fmt.Sprintf("%s waits for %d, though %d of %d are in use", short(c.token), head.weight, used, q.size)
	}
	if h := q.hold(c.token); h != nil && c.want.weight == 0 && h.weight > c.hold.weight {
		found[c] = fmt.Sprintf("%s uses %d, and has %d in Redis", short(c.token), c.hold.weight, h.weight)
	}
}

// checkAtRest checks that nothing is left.
func (s *simulation) checkAtRest() {
	for _, p := range s.procs {
		if len(p.queues.Entries)+len(p.claimsByToken.Entries) > 0 || !p.AtRest() {
			s.t.Errorf("manager not at rest: %d queues, %d waiting claims, %d to renew", len(p.queues.Entries), len(p.claimsByToken.Entries), p.Renewing())
		}
	}
	for name, k := range s.redis.keys {
		if s.redis.key(name); k.owner != "" {
			s.t.Errorf("%s is still held by %s", name, k.owner)
		}
	}
	q := s.redis.permitsOf(s.name)
	if q.purge(); q.used != 0 || len(q.holds) > 0 || len(q.queue) > 0 {
		s.t.Errorf("left in Redis: %s", q)
	}
	if len(s.inside) > 0 {
		s.t.Errorf("%d leases are left", len(s.inside))
	}
}
