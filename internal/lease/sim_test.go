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

// TestSimulation, and the others of its name, run random workloads of several processes
// against a fake Redis whose network loses, repeats and delays requests, replies and
// messages. Processes die, sizes change, and leases end part by part. In every schedule
// no more is held than there is, each hold has its fence, every caller gets an answer,
// and a network that works again leaves no waiter of a free lock, and no permit in use
// that nobody uses. In the end nothing is left: no goroutine (the bubble would not end),
// no queue, no key.
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
	audit   audit // of half of the requests
	name    Name
	size    int64 // that is stated
	resized bool
	ttls    []time.Duration
	procs   []*simProcess

	mu       sync.Mutex // guards what follows; taken before the mutex of redis
	inside   map[*Lease]int64
	fences   map[int64]bool
	last     int64 // fence of all so far
	lastSole int64 // of a writer
	grants   int
	lost     int
}

type simProcess struct {
	*Manager
	store *fakeStore
	alive context.Context
	crash context.CancelFunc
	deaf  *atomic.Bool // messages to it are lost
}

const simWorkers = 4

func simulate(sch *schedule, kind Kind) string {
	rng := sch.rng
	s := &simulation{schedule: sch, audit: audit{t: sch.t}, name: Name{Kind: kind, Key: "key"}, size: ExclusiveWeight, inside: map[*Lease]int64{}, fences: map[int64]bool{}}
	s.bad = badness[rng.IntN(3)]
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
	s.run(s.seed, 8, s.bad == 0 && !crash, crash)
	if s.bad > 0 || crash { // and then all is well again
		for _, p := range s.procs {
			if p.alive.Err() == nil {
				p.store.mend()
			}
		}
		time.Sleep(15*time.Second + 2*WaiterTTL)
		s.run(s.seed+1<<40, 2, true, false)
	}
	time.Sleep(15*time.Second + 2*WaiterTTL) // what was executed late, too
	synctest.Wait()
	s.rest()
	s.audit.check()
	if s.bad == 0 && s.lost > 0 {
		s.t.Errorf("%d leases lost on a network without faults", s.lost)
	}
	return fmt.Sprintf("%d processes, size %d, ttl %v, faults %v, crash %v, %d grants, %d lost", len(s.procs), s.size, s.ttls, s.bad, crash, s.grants, s.lost)
}

func (s *simulation) process(p int) *simProcess {
	store, deaf := s.store(p), new(atomic.Bool)
	store.point = func(what string) fault {
		if what == "message" && deaf.Load() {
			return lostMessage
		}
		return fine
	}
	alive, crash := context.WithCancel(context.Background())
	return &simProcess{NewManager(store), store, alive, crash, deaf}
}

// run lets all workers do so many rounds, while somebody disturbs them.
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
						s.round(p, rng)
					}
				}
			})
		}
		if s.bad > 0 && !calm {
			others.Go(p.store.breakSometimes)
		}
	}
	if crash {
		victim, after := s.procs[0], time.Duration(rng.ExpFloat64()*float64(2*time.Second))
		deaf := rng.IntN(2) == 0
		others.Go(func() {
			time.Sleep(after)
			victim.store.always(lostRequest)
			s.redis.mu.Lock()
			s.redis.log("%s dies", victim.Channel())
			s.redis.mu.Unlock()
			victim.deaf.Store(deaf)
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
		others.Go(func() { s.watch(over) })
	}
	all.Wait()
	close(over)
	others.Wait()
}

// simLinger is the Linger of half of the leases.
func simLinger(rng *rand.Rand, ttl time.Duration) time.Duration {
	return time.Duration(rng.IntN(2)) * ttl / 10
}

// round is one lease of a random kind, from the request to its end.
func (s *simulation) round(p *simProcess, rng *rand.Rand) {
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
		box := result.NewChan(result.ErrorOnly{})
		l.AcquireChan(ctx, p.Manager, &params, box)
		if rng.IntN(10) == 0 { // abandoned: what is granted must not stay
			time.Sleep(time.Duration(rng.Int64N(int64(2 * ttl))))
			cancel()
			if err := <-box.C(); err != nil {
				return
			}
			idle = true // not renewed until now, so it may end at once
		} else if err := <-box.C(); err != nil {
			s.refused(ctx, params, err)
			return
		}
	} else if err := l.Acquire(ctx, p.Manager, &params); err != nil {
		s.refused(ctx, params, err)
		return
	}
	if p.alive.Err() != nil { // who died holds it for as long as it would believe so
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
		} else if err != nil && s.bad == 0 && p.alive.Err() == nil {
			s.t.Errorf("Release: %v", err)
		}
	}
	if l.Err() == nil {
		s.t.Error("a released lease has no error")
	}
}

func (s *simulation) refused(ctx context.Context, p Params, err error) {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
	case p.Try && (errors.Is(err, ErrLocked) || errors.Is(err, ErrNotAvailable) || errors.Is(err, ErrUnconfirmed) || errors.Is(err, errNetwork) || errors.Is(err, retry.ErrNoAnswer)):
	case errors.Is(err, ErrLost): // from a channel, granted and not received in time
	case isSizeError(err) && s.resized:
	default:
		s.t.Errorf("refused with %v", err)
	}
}

func (s *simulation) enter(l *Lease, weight int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside[l] = weight
	s.redis.mu.Lock()
	s.redis.log("enter %s with %d, fence %d", short(l.claim.token), weight, l.fence)
	s.redis.mu.Unlock()
	s.grants++
	if l.Err() == nil {
		switch {
		case s.name.Kind == Semaphore && s.fences[l.fence]:
			s.t.Errorf("fence %d twice", l.fence)
		case s.name.Kind == RWMutex && l.fence <= s.lastSole, s.sole(weight) && l.fence <= s.last:
			s.t.Errorf("fence %d after %d, and %d of a writer", l.fence, s.last, s.lastSole)
		}
		s.fences[l.fence], s.last = true, max(s.last, l.fence)
		if s.sole(weight) {
			s.lastSole = l.fence
		}
	}
	s.check()
}

// sole reports whether a hold of that weight excludes all others.
func (s *simulation) sole(weight int64) bool {
	return s.name.Kind == Mutex || weight == ExclusiveWeight
}

func (s *simulation) leave(l *Lease, part int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	s.redis.mu.Lock()
	s.redis.log("leave %s with %d", short(l.claim.token), part)
	s.redis.mu.Unlock()
	if s.inside[l] -= part; s.inside[l] == 0 {
		delete(s.inside, l)
	}
}

// check looks at all who believe that they hold something: together it is no more
// than there is, and of each process no more than Redis says it has.
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
			s.redis.log("%s believes that it holds %d", short(token), weight)
			s.t.Errorf("%s believes that it holds %d, Redis does not: %+v", token, weight, h)
		}
	}
}

// watch finds who waits for what has been free for long, and what is held that
// nobody uses. That is for a network without faults.
func (s *simulation) watch(over <-chan struct{}) {
	const step, patience = 50 * time.Millisecond, 2 * time.Second
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
				s.idle(p, now)
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
			} else if time.Since(since[what]) > patience {
				s.t.Errorf("%v: %s", time.Now(), text)
				since[what] = time.Now().Add(time.Hour)
			}
		}
	}
}

func (s *simulation) idle(p *simProcess, found map[any]string) {
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
		found[c] = fmt.Sprintf("%s uses %d, Redis keeps %d for it", short(c.token), c.hold.weight, h.weight)
	}
}

// rest checks that nothing is left.
func (s *simulation) rest() {
	for _, p := range s.procs {
		if len(p.queues.Entries)+len(p.claimsByToken.Entries) > 0 || !p.AtRest() {
			s.t.Errorf("manager not at rest: %d queues, %d expected, %d to renew", len(p.queues.Entries), len(p.claimsByToken.Entries), p.Renewing())
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
		s.t.Errorf("%d still inside", len(s.inside))
	}
}
