package lease

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// lingerer is a process that has locked the key, and again soon after: from now on it lingers.
func (e *env) lingerer(p Params) (*Manager, *fakeStore) {
	e.Helper()
	m, s := e.process()
	e.linger(m, p)
	return m, s
}

// linger has the process lock the key until it lingers.
func (e *env) linger(m *Manager, p Params) {
	e.Helper()
	for i := 0; !e.idle(m, p); i++ {
		if i == 3 {
			e.Fatal("it does not begin to linger")
		}
		e.take(m, p).Release()
		time.Sleep(time.Millisecond) // for the subscription
	}
}

// idle reports whether the process has a claim that only lingers.
func (e *env) idle(m *Manager, p Params) bool {
	synctest.Wait()
	m.mu.Lock()
	q := m.queues.Entries[Name{Kind: p.Kind, Key: p.Key}]
	m.mu.Unlock()
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.claim != nil && q.claim.state == claimActive && q.claim.idle()
}

// costs is how many requests have been executed, and how many messages published.
func (e *env) costs() (requests, messages int) {
	e.redis.mu.Lock()
	defer e.redis.mu.Unlock()
	return e.redis.requests + e.redis.releases, e.redis.sent
}

// Locking again within the linger needs no request, unlocking neither, and fences grow.
func TestLingerNeedsNoRequest(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m, _ := e.lingerer(p)
		requests, messages := e.costs()
		fence := int64(0)
		for range 100 {
			l := e.take(m, p)
			if l.Fence() <= fence {
				e.Errorf("fence %d after %d", l.Fence(), fence)
			}
			fence = l.Fence()
			if err := l.Release(); err != nil {
				e.Error(err)
			}
			time.Sleep(p.Linger - time.Millisecond)
		}
		if r, n := e.costs(); r != requests || n != messages {
			e.Errorf("%d requests, %d messages for 100 holds", r-requests, n-messages)
		}
		time.Sleep(2 * time.Millisecond)
		if r, _ := e.costs(); e.idle(m, p) || r != requests+1 {
			e.Errorf("idle: %v, %d requests when it stops lingering", e.idle(m, p), r-requests)
		}
	})
}

// A claim lingers only after the process has locked the key again soon after an unlock.
func TestLingerBegins(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m, _ := e.process()
		for range 5 {
			e.take(m, p).Release()
			if e.idle(m, p) {
				e.Error("it lingers though nobody locks again soon")
			}
			time.Sleep(p.Linger + 2*time.Millisecond)
		}
		p.Linger = 0
		for range 5 {
			if e.take(m, p).Release(); e.idle(m, p) {
				e.Error("it lingers without Linger")
			}
		}
	})
}

// The first waiter of another process revokes a claim that only lingers, by two requests and two
// messages: its own and the release, the notice and the hand-over.
func TestLingerIsRevoked(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		k2, _ := e.process()
		k2.subscribe(nil)
		other := p
		p.Linger = 500 * time.Millisecond
		k1, _ := e.lingerer(p)
		requests, messages := e.costs()
		start := time.Now()
		l := e.take(k2, other)
		e.within("the waiter is let in", start, 250*time.Microsecond) // five ways of 50 µs
		if r, n := e.costs(); r != requests+2 || n != messages+2 || e.idle(k1, p) {
			e.Errorf("%d requests, %d messages, idle: %v", r-requests, n-messages, e.idle(k1, p))
		}
		l.Release()
	})
}

// A try of another process does not fail because of a claim that only lingers. It fails for one
// that is in use, and leaves no entry.
func TestLingerAndTries(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		other := p
		other.Try = true
		p.Linger = 500 * time.Millisecond
		k1, _ := e.lingerer(p)
		k2, _ := e.process()
		e.take(k2, other).Release()
		held := e.take(k1, p)
		l := new(Lease)
		start := time.Now()
		if err := l.Acquire(e.Context(), k2, &other); !errors.Is(err, ErrLocked) && !errors.Is(err, ErrNotAvailable) {
			e.Error(err)
		}
		e.within("the try fails", start, 10*time.Millisecond)
		held.Release()
		time.Sleep(time.Second)
		if text := e.redis.String(); p.Kind == Mutex && text != "key: owner \"\", 0 waiting\n" {
			e.Error(text)
		}
	})
}

// If the notice is lost, the poll of the waiter repeats it. If the process hears nothing any
// more, it does not linger.
func TestLingerWithoutTheNotice(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.TTL, p.Linger = time.Minute, 5*time.Second
		k2, s2 := e.process()
		k1, s1 := e.lingerer(p)
		s2.tells(-1)
		s1.tells(-1)
		start := time.Now()
		got := e.contender(k2, p)
		time.Sleep(time.Millisecond)
		if !e.idle(k1, p) {
			e.Error("it was told by a message that is lost")
		}
		s2.tells(0)
		<-got
		e.within("the waiter is let in", start, 2*MaxPollInterval+10*time.Millisecond)

		k3, s3 := e.lingerer(p)
		s3.disconnect <- struct{}{}
		time.Sleep(time.Millisecond)
		if e.idle(k3, p) {
			e.Error("it lingers, and hears nothing")
		}
		e.take(k3, p).Release()
		if e.idle(k3, p) {
			e.Error("it begins to linger, and hears nothing")
		}
	})
}

// An idle claim is never renewed, and one that is locked again is.
func TestLingerIsNotRenewed(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = p.TTL / 10
		m, _ := e.lingerer(p)
		renewals := func() int {
			e.redis.mu.Lock()
			defer e.redis.mu.Unlock()
			return e.redis.renewals
		}
		before := renewals()
		requests, _ := e.costs()
		for range 60 { // it is in use for no time each time
			time.Sleep(p.Linger - time.Millisecond)
			e.take(m, p).Release()
		}
		if n := renewals() - before; n != 0 {
			e.Errorf("%d renewals", n)
		}
		if r, _ := e.costs(); r-requests > 18 { // a release and another grant in two thirds of a TTL
			e.Errorf("%d requests in six TTLs", r-requests)
		}
		held := e.take(m, p)
		time.Sleep(3 * p.TTL)
		if err := held.Err(); err != nil || renewals() == before {
			e.Errorf("in use: %v, %d renewals", err, renewals()-before)
		}
		held.Release()
	})
}

// A process that was stopped while its claim lingered, past its window, learns it at its next
// lock, which asks.
func TestLingerPastTheWindow(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = p.TTL / 10
		k1, _ := e.lingerer(p)
		k2, _ := e.process()
		k1.queues.Entries[Name{Kind: p.Kind, Key: p.Key}].claim.hold.window = client.NewTrustWindow(time.Now().Add(-p.TTL), p.TTL) // it was suspended
		e.redis.mu.Lock()
		if p.Kind == Mutex {
			e.redis.key("key").expires = time.Now()
		} else {
			for _, h := range e.redis.permitsOf(Name{Kind: p.Kind, Key: p.Key}).holds {
				h.expires, h.ends = nowMilli(), nowMilli()
			}
		}
		e.redis.mu.Unlock()
		held := e.take(k2, p)
		got := e.contender(k1, p)
		time.Sleep(time.Second)
		select {
		case <-got:
			e.Error("two hold it")
		default:
		}
		held.Release()
		<-got
	})
}

// While others wait, a process that locks again at once goes on for its slice. One that does
// not hands over at once.
func TestLingerWhileOthersWait(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		k1, _ := e.lingerer(p)
		k2, _ := e.process()
		e.take(k1, p).Release()
		held := e.take(k1, p) // at once
		got := e.contender(k2, p)
		time.Sleep(10 * time.Millisecond) // the slice is over
		if held.Release(); e.idle(k1, p) {
			e.Error("it lingers after its slice, and another waits")
		}
		<-got
		e.take(k1, p).Release()
		held = e.take(k1, p) // at once
		e.contender(k2, p)
		time.Sleep(500 * time.Microsecond)
		requests, _ := e.costs()
		for range 10 {
			held.Release()
			held = e.take(k1, p)
		}
		if r, _ := e.costs(); r != requests {
			e.Errorf("%d requests in a slice", r-requests)
		}
		held.Release()
		time.Sleep(time.Millisecond)
		if e.idle(k1, p) {
			e.Error("it lingers, does not lock again, and another waits")
		}
	})
}

// Each revocation that came before lingering was worth it keeps it away for longer.
func TestLingerStaysAway(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		k2, _ := e.process()
		other := p
		other.Linger = 0
		k1, _ := e.process()
		revoked := 0
		for start := time.Now(); time.Since(start) < time.Minute; {
			e.take(k1, p).Release()
			if e.idle(k1, p) {
				revoked++
			}
			e.take(k2, other).Release()
			e.leases = nil
			time.Sleep(5 * time.Millisecond)
		}
		if revoked < 5 || revoked > 11 { // 50 ms, 100 ms and so on add up to a minute
			e.Errorf("revoked %d times in a minute", revoked)
		}
	})
}
