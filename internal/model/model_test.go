//go:build !race

// The model uses one goroutine, and the race detector would make it many times slower.

package model

import (
	"flag"
	"strings"
	"testing"
)

var (
	processes = flag.Int("model.processes", 2, "2 or 3")
	claims    = flag.Int("model.claims", 1, "the maximum number of tokens of a process in use, 1 to 3")
	packets   = flag.Int("model.packets", 2, "the maximum number of packets in transit, 1 to 4")
	ttl       = flag.Int("model.time", 3, "T in ticks, 3 or more")
	drift     = flag.Int("model.drift", 1, "the number of processes whose clocks drift")
)

// noDrift returns a model without drift, which needs no margin. It is small enough to visit all
// states quickly.
func noDrift() Model {
	t := int8(*ttl)
	return Model{Processes: *processes, Claims: *claims, Packets: *packets, TTL: t, Grant: t - 1, Life: t - 1, Check: S1}
}

// shorter is noDrift with a shorter T, for options that add many states.
func shorter() Model {
	m := noDrift()
	m.TTL, m.Grant, m.Life = m.TTL-1, m.Grant-1, m.Life-1
	return m
}

// withDrift returns a model in which the clocks of the first processes drift.
func withDrift() Model {
	m := noDrift()
	m.Drift, m.Margin = *drift, 1
	return m
}

// verify explores a model that must not violate a property.
func verify(t *testing.T, m Model) {
	t.Helper()
	r := m.Explore()
	t.Logf("%d states, %d transitions", r.States, r.Transitions)
	if m.Progress {
		t.Logf("all waiters acquire the lock within %d ticks", r.Slowest)
	}
	if r.Broken != 0 {
		t.Errorf("%v is violated:\n%s", r.Broken, strings.Join(r.Trace, "\n"))
	}
	if r.Stuck != "" {
		t.Errorf("a waiter never acquires the lock from: %s", r.Stuck)
	}
}

// expectViolation explores a model that must violate a property, or starve a waiter if p is 0, and logs how.
func expectViolation(t *testing.T, m Model, p Property) {
	t.Helper()
	if p != 0 {
		m.Check = m.Check&S2 | p
	}
	r := m.Explore()
	if r.Broken != p || p == 0 && r.Stuck == "" {
		t.Fatalf("visited %d states, want a violation of %v, got %v", r.States, p, r.Broken)
	}
	t.Logf("%v is violated after %d states:\n%s\nstuck: %s", p, r.States, strings.Join(r.Trace, "\n"), r.Stuck)
}

// TestExclusion: at most one process believes that it holds the lock, whatever the network and drifting
// clocks do. All waiters acquire the lock when the faults end.
func TestExclusion(t *testing.T) {
	m := withDrift()
	m.Progress = true
	verify(t, m)
}

// TestYield checks the same for processes that yield, which need two tokens.
func TestYield(t *testing.T) {
	m := noDrift()
	m.Claims, m.Packets, m.Progress = max(m.Claims, 2), max(1, m.Packets-1), true
	verify(t, m)
}

// TestBatch is TestYield with scripts that drop at most one stale entry. A release then can leave the
// lock free while a process waits.
func TestBatch(t *testing.T) {
	m := noDrift()
	m.Claims, m.Packets, m.Progress, m.Batch = max(m.Claims, 2), max(1, m.Packets-1), true, 1
	verify(t, m)
}

// TestFences: fences grow, also for leases that join a claim later.
func TestFences(t *testing.T) {
	m := noDrift()
	m.Packets, m.Check, m.Leases = max(1, m.Packets-1), S1|S2, true
	verify(t, m)
}

// withLinger returns a model in which processes keep the lock after the unlock.
func withLinger() Model {
	m := noDrift()
	m.Linger, m.Progress = true, true
	return m
}

// TestLinger: at most one process believes that it holds the lock, although processes keep it after the
// unlock. A waiter acquires the lock at once if the notice arrives, and otherwise after the window.
func TestLinger(t *testing.T) {
	verify(t, withLinger())
}

// TestLingerFences: fences grow from lease to lease of a lingering claim.
func TestLingerFences(t *testing.T) {
	m := withLinger()
	m.Packets, m.Check, m.Leases = max(1, m.Packets-1), S1|S2, true
	verify(t, m)
}

// withValues returns a model whose holders store values, with an observer.
func withValues() Model {
	m := shorter()
	m.Check, m.Values, m.Progress = S1|S2|V1|V2, true, true
	return m
}

// TestValues: a value is stored only under its writer's hold, and observers see it while that hold
// lasts. They see values in the order of their fences, also after a failover, and finally no value.
func TestValues(t *testing.T) {
	verify(t, withValues())
	m := withValues()
	m.Packets, m.Faults, m.Check = max(1, m.Packets-1), Failover, S2|V1
	verify(t, m)
}

// TestLostWrite: lost data violates exclusion, but not the order of fences, unless the clock is set
// back by more than the outage took.
func TestLostWrite(t *testing.T) {
	for name, f := range map[string]Fault{"eviction": LoseLock, "restart": Restart, "failover": Failover} {
		t.Run(name, func(t *testing.T) {
			m := noDrift()
			m.Faults = f
			expectViolation(t, m, S1)
		})
	}
	for name, f := range map[string]Fault{"fence": LoseFence | LoseLock, "queue": LoseQueue, "restart": Restart, "failover": Failover} {
		t.Run("fences after "+name, func(t *testing.T) {
			m := shorter()
			m.Packets = max(1, m.Packets-1)
			m.Faults, m.Check, m.Progress = f, S2, true
			if f == Restart {
				m.Outage, m.Back = 1, 1
			}
			verify(t, m)
		})
	}
	t.Run("clock set back by more", func(t *testing.T) {
		m := noDrift()
		m.Faults, m.Outage, m.Back = Restart, 1, 2
		expectViolation(t, m, S2)
	})
	t.Run("leases of a lost claim", func(t *testing.T) { // PROTOCOL.md, 1
		m := noDrift()
		m.Faults, m.Leases = LoseLock, true
		expectViolation(t, m, S2)
	})
}

// TestClockStep: Redis' clock violates a property only if it is set forward.
func TestClockStep(t *testing.T) {
	m := noDrift()
	m.Faults = LeapForward
	expectViolation(t, m, S1)
	for _, p := range []Property{S1, S2} {
		m = shorter()
		m.Packets = max(1, m.Packets-1)
		m.Faults, m.Back, m.Check, m.Progress = SetBack, 1, p, true
		verify(t, m)
	}
}

// TestMutants: the model detects these mistakes. Property 0 means that a waiter never acquires the lock,
// or that observers see a dead leader.
func TestMutants(t *testing.T) {
	three := func() Model { m := noDrift(); m.Packets = max(2, m.Packets); return m }
	lost := func() Model { m := withValues(); m.Packets, m.Faults = max(1, m.Packets-1), Failover; return m }
	for name, c := range map[string]struct {
		mutant          Mutant
		of              func() Model
		change          func(*Model)
		expectViolation Property
	}{
		"window from the message's arrival":         {WindowFromArrival, three, nil, S1},
		"window from the latest request":            {WindowFromLatest, three, nil, S1},
		"release without a check":                   {ReleaseAny, three, nil, S1},
		"renewal that creates the lock":             {RenewCreates, shorter, func(m *Model) { m.Claims, m.Packets = 2, 2 }, S1},
		"reused token":                              {TokenReused, three, nil, S1},
		"yield that keeps its token":                {YieldKeepsToken, three, func(m *Model) { m.Claims = 2 }, S1},
		"expired window that is extended":           {Revives, shorter, func(m *Model) { m.Packets = 3 }, S1},
		"no margin":                                 {Faithful, three, func(m *Model) { m.Drift = 1 }, S1},
		"fence without the clock":                   {FenceCounts, three, func(m *Model) { m.Faults, m.Outage = Restart, 1 }, S2},
		"a lease after the window":                  {LingersPastV, withLinger, func(m *Model) { m.Progress = false }, S1},
		"no notice":                                 {NoNotice, withLinger, nil, 0},
		"notice ignored":                            {NoticeIgnored, withLinger, nil, 0},
		"a lingering claim that is renewed":         {RenewsIdle, withLinger, nil, 0},
		"a value of any writer":                     {WriteUnchecked, withValues, nil, V2},
		"a value deleted while held":                {ClearAny, withValues, nil, V2},
		"an observer that forgets a fence":          {ObserverGoesBack, lost, nil, V1},
		"an observer that does not check the owner": {OwnerUnchecked, withValues, func(m *Model) { m.Packets, m.Check = max(1, m.Packets-1), S1|S2 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.of()
			m.Mutant = c.mutant
			if c.change != nil {
				c.change(&m)
			}
			expectViolation(t, m, c.expectViolation)
		})
	}
}
