package lease

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// invariants is who believes that it holds what.
type invariants struct {
	held   map[*Lease]holding
	fences map[Name][]holding // of the past
	giving atomic.Int64       // how many of them are doing so
	freed  time.Time          // when somebody but the rival has last given something up
	gotAt  time.Time          // when the rival has got in
	begun  time.Time          // when it began to wait
	slow   bool               // it may have to find out by itself that it can
}

type holding struct {
	p      *sweepProcess
	weight int64
	fence  int64
	sole   bool // it orders all others
}

// enter notes that p holds a lease, which must have been possible.
func (w *sweep) enter(p *sweepProcess, leases ...*Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fences == nil {
		w.fences = map[Name][]holding{}
	}
	for _, l := range leases {
		h := holding{p, l.weight, l.fence, l.queue.name.Kind == Mutex || l.weight == ExclusiveWeight}
		w.note(fmt.Sprintf("%s enters %s with %d, fence %d", p.name, l.queue.name.Key, h.weight, h.fence))
		for _, old := range w.fences[l.queue.name] {
			if h.fence <= old.fence && (h.sole || old.sole) || h.fence == old.fence && l.queue.name.Kind == Semaphore {
				w.Errorf("%s has the fence %d after %d", p.name, h.fence, old.fence)
			}
		}
		w.fences[l.queue.name] = append(w.fences[l.queue.name], h)
		w.held[l] = h
		w.trusted(l)
	}
	w.exclude()
}

// trusted checks that Redis keeps what is held for as long as it is believed in.
func (w *sweep) trusted(l *Lease) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	w.redis.mu.Lock()
	defer w.redis.mu.Unlock()
	now := time.Now()
	remaining := w.redis.key(l.queue.name.Key).expires.Sub(now)
	if l.queue.name.Kind != Mutex {
		remaining = time.UnixMilli(w.redis.permitsOf(l.queue.name).holds[l.claim.token].expires).Sub(now)
	}
	if believed := l.claim.hold.window.Remaining(now); l.state == leaseHeld && believed > remaining {
		w.Errorf("a lease of %s is believed in for %v, and Redis keeps it for %v", l.queue.name.Key, believed, remaining)
	}
}

// leave notes that so much of each lease is about to be given up.
func (w *sweep) leave(part int64, leases ...*Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exclude()
	for _, l := range leases {
		h := w.held[l]
		w.note(fmt.Sprintf("%s leaves %s with %d", h.p.name, l.queue.name.Key, part))
		if h.weight -= part; h.weight == 0 {
			delete(w.held, l)
		} else {
			w.held[l] = h
		}
	}
}

// exclude checks that those who believe that they hold something can do so at the
// same time. The walk is locked.
func (w *sweep) exclude() {
	sum, sole, shared := map[Name]int64{}, map[Name]int{}, map[Name]int{}
	for l, h := range w.held {
		if l.Err() != nil {
			continue
		}
		if sum[l.queue.name] += h.weight; h.sole {
			sole[l.queue.name]++
		} else if l.queue.name.Kind == RWMutex {
			shared[l.queue.name]++
		}
		if n := l.queue.name; sole[n] > 1 || sole[n] > 0 && shared[n] > 0 || n.Kind == Semaphore && sum[n] > l.size {
			w.Errorf("%d permits of %s are in use, by %d who want to be alone", sum[n], n.Key, sole[n])
		}
	}
}

// backed checks that Redis has of a process what it believes to have there, and
// nothing else.
func (w *sweep) backed(p *sweepProcess) {
	w.Helper()
	want := map[Name]int64{}
	w.mu.Lock()
	for l, h := range w.held {
		switch {
		case h.p != p || l.Err() != nil:
		case l.shared:
			want[l.queue.name] = 1
		default:
			want[l.queue.name] += h.weight
		}
	}
	w.mu.Unlock()
	mine := func(token string) bool {
		_, channel := client.ParseMark(token)
		return channel == p.Channel()
	}
	w.redis.mu.Lock()
	defer w.redis.mu.Unlock()
	for key := range w.redis.keys {
		k, waits := w.redis.key(key), false
		for _, e := range k.queue {
			waits = waits || mine(e.token) && time.Since(e.seen) < WaiterTTL
		}
		if name := (Name{Kind: Mutex, Key: key}); mine(k.owner) != (want[name] > 0) || waits {
			w.Errorf("%s has %d of %s; in Redis the owner is %q, and that it waits is %v", p.name, want[name], key, k.owner, waits)
		}
	}
	for name, q := range w.redis.permits {
		var got, waits int64
		for token := range q.holds {
			if h := q.hold(token); h != nil && mine(token) {
				got += h.weight
			}
		}
		for _, e := range q.queue {
			if mine(e.token) && nowMilli()-e.at < WaiterTTL.Milliseconds() {
				waits += e.want
			}
		}
		if got != want[name] || waits != 0 {
			w.Errorf("%s has %d of %s; in Redis it has %d, and waits for %d", p.name, want[name], name.Key, got, waits)
		}
	}
}

// free notes that something has been given up, for which the rival may wait.
func (w *sweep) free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freed = time.Now()
}

// keep holds a lease for a while, in which it must not be lost.
func (w *sweep) keep(l *Lease, d time.Duration) {
	select {
	case <-l.Done():
		w.Errorf("a hold on %s is lost", l.queue.name.Key)
	case <-time.After(d):
	}
}

// quit ends a hold on a part of what the lease has, or on all of it, for which the
// rival may wait.
func (w *sweep) quit(part int64, l *Lease) {
	w.giveUp(part, l)
	w.free()
}

func (w *sweep) giveUp(part int64, l *Lease) {
	if part == 0 {
		part = l.weight
	}
	w.leave(part, l)
	w.giving.Add(1)
	if err := l.ReleasePermits(part); err != nil {
		w.Errorf("Release: %v", err)
	}
	w.giving.Add(-1)
}

// drop ends a hold.
func (w *sweep) drop(l target) {
	for _, one := range l.leases() {
		w.leave(one.weight, one)
	}
	w.giving.Add(1)
	if err := l.Release(); err != nil {
		w.Errorf("Release: %v", err)
	}
	w.giving.Add(-1)
}

// take lets a process take a lease, for certain.
func (w *sweep) take(p *sweepProcess, params Params) *Lease {
	l := new(Lease)
	if err := l.Acquire(w.Context(), p.Manager, &params); err != nil {
		w.Errorf("%s: %v", p.name, err)
		return nil
	}
	w.enter(p, l)
	return l
}

// later ends a hold after so long.
func (w *sweep) later(d time.Duration, part int64, l *Lease) {
	w.others.Go(func() {
		w.keep(l, d)
		w.quit(part, l)
	})
}

// punctual checks that the rival has got in as soon as it could.
func (w *sweep) punctual() {
	if w.gotAt.IsZero() {
		return
	}
	since := w.begun
	if w.freed.After(since) {
		since = w.freed
	}
	bound := 2 * time.Millisecond
	switch {
	case w.plan.j > 0:
		bound = sweepCleared + MaxPollInterval
	case w.slow:
		bound += MaxPollInterval
	}
	if took := w.gotAt.Sub(since); took > bound {
		w.Errorf("the rival gets in %v after it could, want at most %v", took, bound)
	}
}
