package lease

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// lingerer returns a process whose claim lingers.
func (e *env) lingerer(p Params) (*Manager, *fakeStore) {
	e.Helper()
	m, s := e.process()
	e.linger(m, p)
	return m, s
}

// linger locks and unlocks the key until the claim of m lingers.
func (e *env) linger(m *Manager, p Params) {
	e.Helper()
	for i := 0; !e.idle(m, p); i++ {
		if i == 3 {
			e.Fatal("the claim does not linger")
		}
		e.acquire(m, p).Release()
		time.Sleep(time.Millisecond) // for the subscription
	}
}

// idle reports whether m has a claim that lingers.
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

// costs returns the numbers of requests without renewals, and of messages.
func (e *env) costs() (requests, messages int) {
	c := e.redis.counted()
	return c.requests + c.releases, c.messages
}

// Neither locking again within Linger nor unlocking needs a request, and fences grow.
func TestLingerNeedsNoRequest(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m, _ := e.lingerer(p)
		requests, messages := e.costs()
		fence := int64(0)
		for range 100 {
			l := e.acquire(m, p)
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
			e.Errorf("after Linger, idle: %v, %d requests", e.idle(m, p), r-requests)
		}
	})
}

// A claim lingers only if the process has locked the key again soon after an unlock.
func TestLingerBegins(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m, _ := e.process()
		for range 5 {
			e.acquire(m, p).Release()
			if e.idle(m, p) {
				e.Error("it lingers after slow locks")
			}
			time.Sleep(p.Linger + 2*time.Millisecond)
		}
		p.Linger = 0
		for range 5 {
			if e.acquire(m, p).Release(); e.idle(m, p) {
				e.Error("it lingers without Linger")
			}
		}
	})
}

// The first waiter of another process revokes a lingering claim. That takes two requests, the
// waiter's and the release, and two messages, the notice and the hand-over.
func TestLingerIsRevoked(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		m2, _ := e.process()
		m2.subscribe(nil)
		other := p
		p.Linger = 500 * time.Millisecond
		m1, _ := e.lingerer(p)
		requests, messages := e.costs()
		start := time.Now()
		l := e.acquire(m2, other)
		e.checkWithin("the grant", start, 250*time.Microsecond) // five latencies of 50 µs
		if r, n := e.costs(); r != requests+2 || n != messages+2 || e.idle(m1, p) {
			e.Errorf("%d requests, %d messages, idle: %v", r-requests, n-messages, e.idle(m1, p))
		}
		l.Release()
	})
}

// A try of another process succeeds while a claim lingers. It fails while the claim is in use, and
// leaves no waiter.
func TestLingerAndTries(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		other := p
		other.Try = true
		p.Linger = 500 * time.Millisecond
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		e.acquire(m2, other).Release()
		held := e.acquire(m1, p)
		start := time.Now()
		if err := e.try(m2, other); !errors.Is(err, ErrLocked) && !errors.Is(err, ErrNotAvailable) {
			e.Error(err)
		}
		e.checkWithin("the failure of the try", start, 10*time.Millisecond)
		held.Release()
		time.Sleep(time.Second)
		if text := e.redis.String(); p.Kind == Mutex && text != "key: owner \"\", 0 waiting\n" {
			e.Error(text)
		}
	})
}

// If the notice is lost, the poll of the waiter repeats it. A process without a subscription does not
// linger.
func TestLingerWithoutTheNotice(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.TTL, p.Linger = time.Minute, 5*time.Second
		m2, s2 := e.process()
		m1, s1 := e.lingerer(p)
		s2.delayMessages(-1)
		s1.delayMessages(-1)
		start := time.Now()
		got := e.contender(m2, p)
		time.Sleep(time.Millisecond)
		if !e.idle(m1, p) {
			e.Error("it ends before the notice arrives")
		}
		s2.delayMessages(0)
		<-got
		e.checkWithin("the grant", start, 2*MaxPollInterval+10*time.Millisecond)

		m3, s3 := e.lingerer(p)
		s3.disconnect <- struct{}{}
		time.Sleep(time.Millisecond)
		if e.idle(m3, p) {
			e.Error("it lingers without a subscription")
		}
		e.acquire(m3, p).Release()
		if e.idle(m3, p) {
			e.Error("it begins to linger without a subscription")
		}
	})
}

// A lingering claim is never renewed. A claim that is in use again is renewed.
func TestLingerIsNotRenewed(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = p.TTL / 10
		m, _ := e.lingerer(p)
		renewals := func() int { return e.redis.counted().renewals }
		before := renewals()
		requests, _ := e.costs()
		for range 60 { // each use takes no time
			time.Sleep(p.Linger - time.Millisecond)
			e.acquire(m, p).Release()
		}
		if n := renewals() - before; n != 0 {
			e.Errorf("%d renewals", n)
		}
		if r, _ := e.costs(); r-requests > 18 { // a release and another grant in two thirds of a TTL
			e.Errorf("%d requests in six TTLs", r-requests)
		}
		held := e.acquire(m, p)
		time.Sleep(3 * p.TTL)
		if err := held.Err(); err != nil || renewals() == before {
			e.Errorf("in use: %v, %d renewals", err, renewals()-before)
		}
		held.Release()
	})
}

// A process is stopped while its claim lingers, until after its window. Its next lock must send a
// request.
func TestLingerPastTheWindow(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = p.TTL / 10
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		claimOf(m1, p.Kind).hold.window = client.NewTrustWindow(time.Now().Add(-p.TTL), p.TTL) // the process was suspended
		e.redis.mu.Lock()
		if p.Kind == Mutex {
			e.redis.key("key").expires = time.Now()
		} else {
			for _, h := range e.redis.permitsOf(Name{Kind: p.Kind, Key: p.Key}).holds {
				h.expires, h.ends = nowMilli(), nowMilli()
			}
		}
		e.redis.mu.Unlock()
		held := e.acquire(m2, p)
		got := e.contender(m1, p)
		time.Sleep(time.Second)
		select {
		case <-got:
			e.Error("both processes hold the lock")
		default:
		}
		held.Release()
		<-got
	})
}

// While others wait, a process that locks again immediately goes on for its time slice. Otherwise it
// hands over immediately.
func TestLingerWhileOthersWait(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		e.acquire(m1, p).Release()
		held := e.acquire(m1, p) // immediately
		got := e.contender(m2, p)
		time.Sleep(10 * time.Millisecond) // the slice is over
		if held.Release(); e.idle(m1, p) {
			e.Error("it lingers after its slice, and another waits")
		}
		<-got
		e.acquire(m1, p).Release()
		held = e.acquire(m1, p) // immediately
		e.contender(m2, p)
		time.Sleep(500 * time.Microsecond)
		requests, _ := e.costs()
		for range 10 {
			held.Release()
			held = e.acquire(m1, p)
		}
		if r, _ := e.costs(); r != requests {
			e.Errorf("%d requests in a slice", r-requests)
		}
		held.Release()
		time.Sleep(time.Millisecond)
		if e.idle(m1, p) {
			e.Error("it lingers, does not lock again, and another waits")
		}
	})
}

// Each revocation before Linger has saved a request postpones the next Linger for longer.
func TestLingerBacksOff(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = 50 * time.Millisecond
		m2, _ := e.process()
		other := p
		other.Linger = 0
		m1, _ := e.process()
		revoked := 0
		for start := time.Now(); time.Since(start) < time.Minute; {
			e.acquire(m1, p).Release()
			if e.idle(m1, p) {
				revoked++
			}
			e.acquire(m2, other).Release()
			e.leases = nil
			time.Sleep(5 * time.Millisecond)
		}
		if revoked < 5 || revoked > 11 { // 50 ms, 100 ms and so on add up to a minute
			e.Errorf("revoked %d times in a minute", revoked)
		}
	})
}
