package lease

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// invariants records the leases that are held, and the wait of the rival.
type invariants struct {
	held      map[*Lease]holding
	fences    map[Name][]holding // all holds so far
	releasing atomic.Int64       // releases in progress
	freed     time.Time          // of the last release, except by the rival
	gotAt     time.Time          // of the rival's grant
	begun     time.Time          // of the rival's request
	slow      bool               // the rival may need a poll to find the release
}

type holding struct {
	p         *sweepProcess
	weight    int64
	fence     int64
	exclusive bool
}

// enter records that p holds the leases, and checks that they exclude each other.
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
			if h.fence <= old.fence && (h.exclusive || old.exclusive) || h.fence == old.fence && l.queue.name.Kind == Semaphore {
				w.Errorf("%s has the fence %d after %d", p.name, h.fence, old.fence)
			}
		}
		w.fences[l.queue.name] = append(w.fences[l.queue.name], h)
		w.held[l] = h
		w.checkWindow(l)
	}
	w.checkExclusion()
}

// checkWindow checks that the hold in Redis lasts at least as long as the window of the lease.
func (w *sweep) checkWindow(l *Lease) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	w.redis.mu.Lock()
	defer w.redis.mu.Unlock()
	now := time.Now()
	remaining := w.redis.key(l.queue.name.Key).expires.Sub(now)
	if l.queue.name.Kind != Mutex {
		remaining = time.UnixMilli(w.redis.permitsOf(l.queue.name).holds[l.claim.token].expires).Sub(now)
	}
	if window := l.claim.hold.window.Remaining(now); l.state == leaseHeld && window > remaining {
		w.Errorf("the window of a lease of %s is %v, and Redis keeps it for %v", l.queue.name.Key, window, remaining)
	}
}

// leave records that so much of each lease is about to be released.
func (w *sweep) leave(part int64, leases ...*Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkExclusion()
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

// checkExclusion checks that the leases may be held at the same time. The sweep is locked.
func (w *sweep) checkExclusion() {
	sum, exclusive, shared := map[Name]int64{}, map[Name]int{}, map[Name]int{}
	for l, h := range w.held {
		if l.Err() != nil {
			continue
		}
		if sum[l.queue.name] += h.weight; h.exclusive {
			exclusive[l.queue.name]++
		} else if l.queue.name.Kind == RWMutex {
			shared[l.queue.name]++
		}
		if n := l.queue.name; exclusive[n] > 1 || exclusive[n] > 0 && shared[n] > 0 || n.Kind == Semaphore && sum[n] > l.size {
			w.Errorf("%s: holds of %d permits in all, %d of the holds exclusive", n.Key, sum[n], exclusive[n])
		}
	}
}

// checkRedis checks that Redis has exactly the holds that the process has leases of.
func (w *sweep) checkRedis(p *sweepProcess) {
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
			w.Errorf("%s has %d of %s; in Redis the owner is %q, and %[1]s waits: %[5]v", p.name, want[name], key, k.owner, waits)
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
			w.Errorf("%s has %d of %s; in Redis it has %d and waits for %d", p.name, want[name], name.Key, got, waits)
		}
	}
}

// noteRelease records the time of a release that the rival may wait for.
func (w *sweep) noteRelease() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.freed = time.Now()
}

// holdFor holds a lease for d. It must not be lost.
func (w *sweep) holdFor(l *Lease, d time.Duration) {
	select {
	case <-l.Done():
		w.Errorf("a hold on %s is lost", l.queue.name.Key)
	case <-time.After(d):
	}
}

// releaseForRival releases a part of a lease that the rival may wait for. If part is 0, it releases
// all.
func (w *sweep) releaseForRival(part int64, l *Lease) {
	w.releasePart(part, l)
	w.noteRelease()
}

func (w *sweep) releasePart(part int64, l *Lease) {
	if part == 0 {
		part = l.weight
	}
	w.leave(part, l)
	w.releasing.Add(1)
	if err := l.ReleasePermits(part); err != nil {
		w.Errorf("Release: %v", err)
	}
	w.releasing.Add(-1)
}

// release releases a target.
func (w *sweep) release(l target) {
	for _, one := range l.leases() {
		w.leave(one.weight, one)
	}
	w.releasing.Add(1)
	if err := l.Release(); err != nil {
		w.Errorf("Release: %v", err)
	}
	w.releasing.Add(-1)
}

// acquire acquires a lease for a process, without a fault.
func (w *sweep) acquire(p *sweepProcess, params Params) *Lease {
	l := new(Lease)
	if err := l.Acquire(w.Context(), p.Manager, &params); err != nil {
		w.Errorf("%s: %v", p.name, err)
		return nil
	}
	w.enter(p, l)
	return l
}

// releaseAfter releases a part of a lease after d.
func (w *sweep) releaseAfter(d time.Duration, part int64, l *Lease) {
	w.others.Go(func() {
		w.holdFor(l, d)
		w.releaseForRival(part, l)
	})
}

// checkRival checks that the rival was granted as soon as possible.
func (w *sweep) checkRival() {
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
		w.Errorf("the rival was granted after %v, want at most %v", took, bound)
	}
}
