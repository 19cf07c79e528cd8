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
		time.Sleep(ms) // for the subscription
	}
}

// idle reports whether m has a claim that lingers.
func (e *env) idle(m *Manager, p Params) (idle bool) {
	synctest.Wait()
	if len(m.queues.Entries) > 0 { // else withClaim would make a queue
		withClaim(m, p.Kind, func(c *claim) { idle = c != nil && c.state == claimActive && c.idle() })
	}
	return idle
}

// cost counts requests without renewals, and messages.
type cost struct{ requests, messages int }

func (e *env) cost() cost {
	c := e.redis.counted()
	return cost{c.requests + c.releases, c.messages}
}

// eachLinger runs f for each primitive, with and without a Linger of half a second.
func eachLinger(t *testing.T, f func(e *env, p, other Params)) {
	eachKind(t, func(e *env, p Params) {
		other := p
		p.Linger = 500 * ms
		f(e, p, other)
	})
}

// Neither locking again within Linger nor unlocking needs a request, and fences grow.
func TestLingerNeedsNoRequest(t *testing.T) {
	eachLinger(t, func(e *env, p, _ Params) {
		p.Linger = 50 * ms
		m, _ := e.lingerer(p)
		before := e.cost()
		fence := int64(0)
		for range 100 {
			l := e.acquire(m, p)
			if l.Fence() <= fence {
				e.Errorf("fence %d after %d", l.Fence(), fence)
			}
			fence = l.Fence()
			e.checkError("Release", l.Release())
			time.Sleep(p.Linger - ms)
		}
		equal(e, "the cost after 100 holds", e.cost(), before)
		time.Sleep(2 * ms)
		equal(e, "idle after Linger", e.idle(m, p), false)
		equal(e, "requests after Linger", e.cost().requests, before.requests+1)
	})
}

// A claim lingers only if the process has locked the key again soon after an unlock.
func TestLingerBegins(t *testing.T) {
	eachLinger(t, func(e *env, p, other Params) {
		p.Linger = 50 * ms
		m, _ := e.process()
		for range 5 {
			e.acquire(m, p).Release()
			equal(e, "idle after slow locks", e.idle(m, p), false)
			time.Sleep(p.Linger + 2*ms)
		}
		for range 5 {
			e.acquire(m, other).Release()
			equal(e, "idle without Linger", e.idle(m, p), false)
		}
	})
}

// The first waiter of another process revokes a lingering claim. That takes two requests, the
// waiter's and the release, and two messages, the notice and the hand-over.
func TestLingerIsRevoked(t *testing.T) {
	eachLinger(t, func(e *env, p, other Params) {
		m2, _ := e.process()
		m2.subscribe(nil)
		m1, _ := e.lingerer(p)
		before, start := e.cost(), time.Now()
		e.acquire(m2, other)
		e.checkWithin("the grant", start, 250*time.Microsecond) // five latencies of 50 µs
		equal(e, "the cost", e.cost(), cost{before.requests + 2, before.messages + 2})
		equal(e, "idle", e.idle(m1, p), false)
	})
}

// A try of another process succeeds while a claim lingers. It fails while the claim is in use, and
// leaves no waiter.
func TestLingerAndTries(t *testing.T) {
	eachLinger(t, func(e *env, p, other Params) {
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		e.checkError("a try", e.try(m2, other))
		e.leases[len(e.leases)-1].Release()
		held := e.acquire(m1, p)
		start := time.Now()
		if err := e.try(m2, other); !errors.Is(err, ErrLocked) && !errors.Is(err, ErrNotAvailable) {
			e.Error(err)
		}
		e.checkWithin("the failure of the try", start, 10*ms)
		held.Release()
		time.Sleep(time.Second)
		e.withKey(Name{Kind: p.Kind, Key: p.Key}, func(k *fakeKey) { equal(e, "holds and waiters", len(k.holds)+len(k.queue), 0) })
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
		time.Sleep(ms)
		equal(e, "idle until the notice arrives", e.idle(m1, p), true)
		s2.delayMessages(0)
		<-got
		e.checkWithin("the grant", start, 2*MaxPollInterval+10*ms)

		m3, s3 := e.lingerer(p)
		s3.disconnect <- struct{}{}
		time.Sleep(ms)
		equal(e, "idle without a subscription", e.idle(m3, p), false)
		e.acquire(m3, p).Release()
		equal(e, "idle later without a subscription", e.idle(m3, p), false)
	})
}

// A lingering claim is never renewed. A claim that is in use again is renewed.
func TestLingerIsNotRenewed(t *testing.T) {
	eachKind(t, func(e *env, p Params) {
		p.Linger = p.TTL / 10
		m, _ := e.lingerer(p)
		before := e.redis.counted()
		for range 60 { // each use takes no time
			time.Sleep(p.Linger - ms)
			e.acquire(m, p).Release()
		}
		now := e.redis.counted()
		if n := now.requests + now.releases - before.requests - before.releases; n > 18 || now.renewals != before.renewals {
			e.Errorf("%d renewals and %d requests in six TTLs", now.renewals-before.renewals, n) // a release and another grant in two thirds of a TTL
		}
		held := e.acquire(m, p)
		time.Sleep(3 * p.TTL)
		if n := e.redis.counted().renewals; held.Err() != nil || n == before.renewals {
			e.Errorf("in use: %v, %d renewals", held.Err(), n-before.renewals)
		}
	})
}

// A process is stopped while its claim lingers, until after its window. Its next lock must send a
// request.
func TestLingerPastTheWindow(t *testing.T) {
	eachLinger(t, func(e *env, p, _ Params) {
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		withClaim(m1, p.Kind, func(c *claim) { c.hold.window = client.NewTrustWindow(time.Now().Add(-p.TTL), p.TTL) }) // the process was suspended
		e.withKey(Name{Kind: p.Kind, Key: p.Key}, func(k *fakeKey) { clear(k.holds) })
		held := e.acquire(m2, p)
		_, got := e.request(e.Context(), m1, p)
		time.Sleep(time.Second)
		e.checkWaits("the other process", got)
		held.Release()
		<-got
	})
}

// While others wait, a process that locks again immediately goes on for its time slice. Otherwise it
// hands over immediately.
func TestLingerWhileOthersWait(t *testing.T) {
	eachLinger(t, func(e *env, p, _ Params) {
		p.Linger = 50 * ms
		m1, _ := e.lingerer(p)
		m2, _ := e.process()
		e.acquire(m1, p).Release()
		held := e.acquire(m1, p) // immediately
		got := e.contender(m2, p)
		time.Sleep(10 * ms) // the slice is over
		held.Release()
		equal(e, "idle after its slice while another waits", e.idle(m1, p), false)
		<-got
		e.acquire(m1, p).Release()
		held = e.acquire(m1, p) // immediately
		e.contender(m2, p)
		time.Sleep(ms / 2)
		before := e.cost()
		for range 10 {
			held.Release()
			held = e.acquire(m1, p)
		}
		equal(e, "requests in a slice", e.cost().requests, before.requests)
		held.Release()
		time.Sleep(ms)
		equal(e, "idle without another lock while another waits", e.idle(m1, p), false)
	})
}

// Each revocation before Linger has saved a request postpones the next Linger for longer.
func TestLingerBacksOff(t *testing.T) {
	eachLinger(t, func(e *env, p, other Params) {
		p.Linger = 50 * ms
		m1, _, m2, _ := e.twoProcesses()
		revoked := 0
		for start := time.Now(); time.Since(start) < time.Minute; {
			if e.acquire(m1, p).Release(); e.idle(m1, p) {
				revoked++
			}
			e.acquire(m2, other).Release()
			e.leases = nil
			time.Sleep(5 * ms)
		}
		if revoked < 5 || revoked > 11 { // 50 ms, 100 ms and so on add up to a minute
			e.Errorf("revoked %d times in a minute", revoked)
		}
	})
}
