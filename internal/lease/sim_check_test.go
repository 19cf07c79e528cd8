package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/trace"
)

func (s *simulation) checkError(ctx context.Context, p Params, err error) {
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
	case p.Try && slices.ContainsFunc([]error{ErrLocked, ErrNotAvailable, ErrUnconfirmed, errNetwork, retry.ErrNoAnswer, retry.ErrReplyTooLate}, func(e error) bool { return errors.Is(err, e) }):
	case errors.Is(err, ErrLost): // granted, and not received in time from the channel
	case isSizeError(err) && s.resized:
	default:
		s.Errorf("refused with %v", err)
	}
}

func (s *simulation) enter(leases []*Lease, weight int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants++
	for _, l := range leases {
		s.held[l] = weight
		if l.Err() != nil {
			continue
		}
		f := s.fences[l.queue.name]
		if f == nil {
			f = &simFences{used: map[int64]bool{}}
			s.fences[l.queue.name] = f
		}
		exclusive := s.use.kind == Mutex || weight == ExclusiveWeight
		if l.fence <= f.lastExclusive || exclusive && l.fence <= f.last || s.use.kind == Semaphore && f.used[l.fence] {
			s.Errorf("fence %d after %d, and %d of an exclusive hold", l.fence, f.last, f.lastExclusive)
		}
		f.used[l.fence], f.last = true, max(f.last, l.fence)
		if exclusive {
			f.lastExclusive = l.fence
		}
	}
	s.check()
}

func (s *simulation) leave(leases []*Lease, part int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	for _, l := range leases {
		if s.held[l] -= part; s.held[l] <= 0 {
			delete(s.held, l)
		}
	}
}

// check checks that the leases which are held exclude each other, and that Redis has all of them for
// as long as their windows last.
func (s *simulation) check() {
	sum, exclusive, shared, needs := map[Name]int64{}, map[Name]int{}, map[Name]int{}, map[*claim]int64{}
	for l, weight := range s.held {
		window, name := l.Remaining(), l.queue.name
		switch {
		case window == 0:
			continue
		case l.shared:
			shared[name]++
			needs[l.claim] = 1
		default:
			needs[l.claim] += weight
			sum[name] += weight
			if weight == ExclusiveWeight {
				exclusive[name]++
			}
		}
		s.redis.mu.Lock()
		h := s.redis.key(name).holds[l.claim.token]
		if h == nil || h.weight < needs[l.claim] || time.Until(h.expires) < window {
			s.Errorf("%s has leases of %d for %v, in Redis %+v", short(l.claim.token), needs[l.claim], window, h)
		}
		s.redis.mu.Unlock()
		if size := max(s.size, 1); sum[name] > size && !s.resized || exclusive[name] > 0 && shared[name] > 0 {
			s.Errorf("%d of %d are in use, by %d writers and %d readers", sum[name], size, exclusive[name], shared[name])
		}
	}
}

// findStalls reports what lasts for long although it should not: see stalled. The network must have
// no faults.
func (s *simulation) findStalls(over <-chan struct{}) {
	const step, limit = 50 * ms, 2 * time.Second
	since := map[string]int{}
	for {
		select {
		case <-over:
			return
		case <-time.After(step):
		}
		now := map[string]int{}
		for _, p := range s.procs {
			if p.alive.Err() != nil {
				continue
			}
			p.mu.Lock()
			queues := slices.Collect(maps.Values(p.queues.Entries))
			p.mu.Unlock()
			for _, q := range queues {
				if what := s.stalled(q); what != "" {
					if now[what] = since[what] + 1; now[what] == int(limit/step) {
						s.Error(what)
					}
				}
			}
		}
		since = now
	}
}

// stalled reports a lease that waits for what is free, and permits that no lease uses.
func (s *simulation) stalled(q *keyQueue) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	k, head, c := s.redis.key(q.name), q.waiters.head, q.claim
	if c == nil || c.state != claimActive {
		return ""
	}
	if head != nil && k.used()+head.weight <= k.size && (len(k.queue) == 0 || k.queue[0].Token == c.token) {
		return fmt.Sprintf("%s waits for what is free", short(c.token))
	}
	if h := k.holds[c.token]; h != nil && c.want.weight == 0 && h.weight > c.hold.weight {
		return fmt.Sprintf("%s has more than it uses", short(c.token))
	}
	return ""
}

// checkAtRest checks that nothing is left.
func (s *simulation) checkAtRest() {
	for _, p := range s.procs {
		if len(p.queues.Entries)+len(p.claimsByToken.Entries) > 0 || !p.AtRest() {
			s.Errorf("manager not at rest: %d queues, %d waiting claims, %d to renew", len(p.queues.Entries), len(p.claimsByToken.Entries), p.Renewing())
		}
	}
	for name := range s.redis.keys {
		if k := s.redis.key(name); len(k.holds)+len(k.queue) > 0 {
			s.Errorf("left in Redis: %s", k)
		}
	}
	if len(s.held) > 0 {
		s.Errorf("%d leases are left", len(s.held))
	}
	for _, r := range s.requests {
		for key, events := range r.events {
			if !r.valid(events) {
				s.Errorf("the events of a request for %s are %s", key, events)
			}
		}
	}
}

// A simRequest records the events of one request with a Trace.
type simRequest struct {
	mu     sync.Mutex
	events map[string]string // by key
	valid  func(events string) bool
}

var oneHold = regexp.MustCompile(`^(waiting )?(failed|acquired (renewed )*(lost|released)) $`).MatchString

// manyHolds is for a MultiLease, which may request a key again before the release of the key has its reply.
func manyHolds(events string) bool {
	count := func(hook string) int { return strings.Count(events, hook+" ") }
	return count(trace.Acquired) == count(trace.Lost)+count(trace.Released)
}

func (s *simulation) request() *simRequest {
	r := &simRequest{events: map[string]string{}, valid: oneHold}
	if s.use.several {
		r.valid = manyHolds
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	return r
}

func (r *simRequest) trace() trace.Trace {
	return trace.All(func(_ context.Context, e trace.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if e.Hook != trace.RedisError {
			r.events[e.Key] += e.Hook + " "
		}
	})
}

// loseValue evicts the value beside the mutex.
func (s *simulation) loseValue() {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	s.redis.key(mutexKey).value = nil
}

// observe observes terms in each process, if there are any. The returned function ends that, and
// checks that no leader is left.
func (s *simulation) observe() (end func()) {
	if !s.use.term {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	var all []*simObserver
	for _, p := range s.procs {
		o := &simObserver{T: s.T}
		p.ObserveValue(ctx, p.store, &Params{Key: "key"}, o)
		all = append(all, o)
	}
	return func() {
		stop()
		synctest.Wait()
		for n, o := range all {
			if !o.closed || o.last != 0 && s.procs[n].alive.Err() == nil {
				s.Errorf("observer %d ends with term %d, closed: %v", n, o.last, o.closed)
			}
		}
		time.Sleep(10 * time.Second)
	}
}

// simObserver is an observer that checks the order of terms.
type simObserver struct {
	*testing.T
	newest, last int64
	closed       bool
}

func (o *simObserver) HandleValue(r ValueReply) {
	if o.last = 0; r.Value != nil {
		if o.last = r.Value.Fence; o.last < o.newest {
			o.Errorf("observed term %d after %d", o.last, o.newest)
		}
		o.newest = o.last
	}
}

func (o *simObserver) Close() { o.closed = true }
