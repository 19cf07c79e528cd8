package lease

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// maxLinger is the longest that a claim lingers. A tenth of its TTL is another limit.
	maxLinger = 30 * time.Second
	// minLingerGain is how many leases a claim must serve by lingering to be worth a revocation.
	minLingerGain = 8
	// maxLingerPause is the longest that a key stays without lingering after revocations.
	maxLingerPause = 10 * time.Minute
	// lingerRecords is the number of keys whose last unlock a process remembers.
	lingerRecords = 1024
)

// lingering is the state of a claim that may linger: after the last unlock its process keeps it for a
// moment, for callers that lock again. The claim is then idle. Its token asks for a contention
// notice, which ends that. An idle claim is never renewed.
type lingering struct {
	hearing   int64         // the subscription that brings the notice; see Client.Hearing
	length    time.Duration // as the lease that was released last has it, 0 for not at all
	idleSince time.Time     // zero while a lease is held
	again     bool          // the process has locked again at once after the last unlock
	served    int           // leases that the claim served after it had been idle
	timer     *time.Timer
	timerAt   time.Time // when the timer fires, zero if it does not
}

// cutLinger returns for how long a claim may linger, in ms.
func cutLinger(linger, ttl time.Duration) uint16 {
	if linger <= 0 {
		return 0
	}
	return uint16(max(min(linger, ttl/10, maxLinger), time.Millisecond) / time.Millisecond)
}

// newLingering returns what a claim made for the lease needs to linger, nil if it may not. It
// begins only when the process locks the key again soon after it has unlocked it, or when it
// yields, because others wait here. It needs the subscription before its first request.
func (q *keyQueue) newLingering(first *Lease, yields bool) *lingering {
	if first.linger() == 0 {
		return nil
	}
	m, now := q.manager, time.Now()
	r := m.lingered.of(q.name)
	gap := r.unlocked.elapsed(now)
	if yields {
		gap = 0
	} else if r.unlocked == 0 || gap > first.linger() {
		return nil
	}
	if r.pausedUntil != 0 && r.pausedUntil.elapsed(now) < 0 {
		return nil
	}
	hearing := m.Hearing()
	if hearing == 0 {
		m.SubscribeFor(first.linger()) // the next claim may
		return nil
	}
	return &lingering{hearing: hearing, again: m.isAtOnce(gap)}
}

// isAtOnce reports whether so little time between an unlock and the next lock is less than a
// hand-over to another process would take.
func (m *Manager) isAtOnce(gap time.Duration) bool { return gap <= time.Duration(m.rtt.Load())/2 }

// linger returns how long the claim may linger after the lease.
func (l *Lease) linger() time.Duration {
	if l.term() {
		return 0
	}
	return time.Duration(l.lingering&^wantsNotice) * time.Millisecond
}

// Bits of Lease.lingering, as fields of their own would make each lease larger.
const (
	wantsNotice = 1 << 15         // it wants a notice when another process waits
	isTerm      = wantsNotice - 1 // it is of a Term, which does not linger
)

// term reports whether the lease is of a Term: its contexts end with its release, too.
func (l *Lease) term() bool { return l.lingering&^wantsNotice == isTerm }

// notify reports whether the lease wants a notice when another process waits.
func (l *Lease) notify() bool { return l.lingering&wantsNotice != 0 }

// idle reports whether the claim only lingers.
func (c *claim) idle() bool { return c.linger != nil && !c.linger.idleSince.IsZero() }

// uncontended reports whether nobody else waits for certain: a notice would have come.
func (c *claim) uncontended() bool {
	return c.linger != nil && !c.contention.present && c.linger.hearing == c.queue.manager.Hearing()
}

// keepIdle reports whether a claim that no lease uses is kept for now. While others wait, that
// is for the rest of its slice, and only if the process has been locking again at once.
func (q *keyQueue) keepIdle(c *claim, now time.Time) bool {
	s := c.linger
	if s.length == 0 || c.hold.weight == 0 || c.want.weight > 0 || c.redis.maybeQueued || c.needsShrink() || s.hearing != q.manager.Hearing() {
		return false
	}
	since := s.idleSince
	if since.IsZero() {
		since = now
	}
	until := since.Add(s.length)
	if c.contention.present {
		if !s.again || c.hold.fencesUsed >= FencesPerGrant || c.hold.slice.exhausted(now, c.hold.fencesUsed) {
			return false
		}
		until = since.Add(min(s.length, time.Duration(q.manager.rtt.Load())))
	}
	if !now.Before(until) || c.hold.window.Remaining(now) <= c.ttl/3 {
		return false
	}
	s.idleSince = since
	if s.timerAt.IsZero() || until.Before(s.timerAt) { // one that fires too early looks again
		s.timerAt = until
		if s.timer == nil {
			s.timer = time.AfterFunc(until.Sub(now), func() { q.lingerOver(c) })
		} else {
			s.timer.Reset(until.Sub(now))
		}
	}
	return true
}

// lingerOver looks whether the claim has lingered for long enough.
func (q *keyQueue) lingerOver(c *claim) {
	q.mu.Lock()
	c.linger.timerAt = time.Time{}
	todo := q.endIdle(c)
	q.mu.Unlock()
	q.runAsync(todo)
}

// endIdle releases a claim that has no reason to linger any more.
func (q *keyQueue) endIdle(c *claim) (todo pendingCall) {
	if c.state == claimActive && c.idle() {
		todo = q.advance()
	}
	return todo
}

// lingeringClaims returns the claims that may linger. The manager is locked.
func (m *Manager) lingeringClaims() (claims []*claim) {
	for _, c := range m.claimsByToken.Entries {
		if c.linger != nil {
			claims = append(claims, c)
		}
	}
	return claims
}

// endsIdle notes that a lease is served by a claim that was idle.
func (c *claim) endsIdle(now time.Time) {
	s := c.linger
	s.again = c.queue.manager.isAtOnce(now.Sub(s.idleSince))
	s.served++
	s.idleSince = time.Time{}
}

// noteUnlock remembers, when a claim has been released, when its process stopped to use it, and
// what lingering was worth.
func (c *claim) noteUnlock(now time.Time) {
	c.queue.manager.lingered.change(c.queue.name, func(r *lingerRecord) {
		r.unlocked = monoTimeOf(now)
		if s := c.linger; s == nil {
			return
		} else if s.served >= minLingerGain {
			r.pause, r.pausedUntil = 0, 0
		} else if c.idle() && c.contention.present {
			r.pause = min(max(2*r.pause, s.length), maxLingerPause)
			r.pausedUntil = monoTimeOf(now.Add(r.pause))
		}
		if c.idle() {
			r.unlocked = monoTimeOf(c.linger.idleSince)
		}
	})
}

// lingerMemory remembers when keys were unlocked, so that nothing need stay for a key that is
// neither held nor awaited. Keys with the same hash replace each other.
type lingerMemory struct {
	mu      sync.Mutex
	records []lingerRecord // none until a lease may linger
}

type lingerRecord struct {
	name        Name
	unlocked    monoTime      // 0 for never
	pause       time.Duration // for how long no claim may linger after a revocation
	pausedUntil monoTime
}

var lingerSeed = maphash.MakeSeed()

// of returns the record of the key.
func (m *lingerMemory) of(name Name) (r lingerRecord) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records != nil {
		if s := m.slot(name); s.name == name {
			r = *s
		}
	}
	return r
}

// change changes the record of the key.
func (m *lingerMemory) change(name Name, f func(*lingerRecord)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = make([]lingerRecord, lingerRecords)
	}
	s := m.slot(name)
	if s.name != name {
		*s = lingerRecord{name: name}
	}
	f(s)
}

func (m *lingerMemory) slot(name Name) *lingerRecord {
	return &m.records[maphash.String(lingerSeed, name.Key)%lingerRecords]
}
