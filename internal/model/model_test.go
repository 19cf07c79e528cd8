//go:build !race

// One goroutine has nothing for the race detector, which makes it many times slower.

package model

import (
	"flag"
	"strings"
	"testing"
)

var (
	processes = flag.Int("model.processes", 2, "2 or 3")
	claims    = flag.Int("model.claims", 1, "how many tokens of a process may be in use at once, 1 to 3")
	packets   = flag.Int("model.packets", 2, "how many packets may be under way at once, 1 to 4")
	ttl       = flag.Int("model.time", 3, "T in ticks, 3 or more")
	drift     = flag.Int("model.drift", 1, "of how many processes the clocks drift")
)

// exact is a model without drift, which needs no margin; and so few things at once
// that all states are seen in a moment.
func exact() Model {
	t := int8(*ttl)
	return Model{Processes: *processes, Claims: *claims, Packets: *packets, TTL: t, Grant: t - 1, Life: t - 1, Check: S1}
}

// brief is exact with a T one shorter: for what adds to the states and needs less time.
func brief() Model {
	m := exact()
	m.TTL, m.Grant, m.Life = m.TTL-1, m.Grant-1, m.Life-1
	return m
}

// drifting is one whose first processes have clocks that drift.
func drifting() Model {
	m := exact()
	m.Drift, m.Margin = *drift, 1
	return m
}

// holds explores a model in which nothing may be violated.
func holds(t *testing.T, m Model) {
	t.Helper()
	r := m.Explore()
	t.Logf("%d states, %d transitions", r.States, r.Transitions)
	if m.Progress {
		t.Logf("whoever waited was in after %d ticks at most", r.Slowest)
	}
	if r.Broken != 0 {
		t.Errorf("%v is violated:\n%s", r.Broken, strings.Join(r.Trace, "\n"))
	}
	if r.Stuck != "" {
		t.Errorf("somebody waits for ever from: %s", r.Stuck)
	}
}

// breaks explores a model in which a property is violated, or somebody waits for ever, and shows how.
func breaks(t *testing.T, m Model, p Property) {
	t.Helper()
	if p != 0 {
		m.Check = m.Check&S2 | p
	}
	r := m.Explore()
	if r.Broken != p || p == 0 && r.Stuck == "" {
		t.Fatalf("of %d states none violates %v, and %v is violated", r.States, p, r.Broken)
	}
	t.Logf("%v is violated after %d states, by:\n%s\nstuck: %s", p, r.States, strings.Join(r.Trace, "\n"), r.Stuck)
}

// TestExclusion: nobody believes but one, whatever the network does, though clocks
// drift; and whoever waits gets in when that ends.
func TestExclusion(t *testing.T) {
	m := drifting()
	m.Progress = true
	holds(t, m)
}

// TestYield is the same for processes that yield, which takes two tokens.
func TestYield(t *testing.T) {
	m := exact()
	m.Claims, m.Packets, m.Progress = max(m.Claims, 2), max(1, m.Packets-1), true
	holds(t, m)
}

// TestBatch is TestYield with scripts that drop one dead entry at most. Who releases the lock
// does not go on, so that the lock is free for a time while somebody waits.
func TestBatch(t *testing.T) {
	m := exact()
	m.Claims, m.Packets, m.Progress, m.Batch = max(m.Claims, 2), max(1, m.Packets-1), true, 1
	holds(t, m)
}

// TestFences: fences grow, those of leases that join a claim later too.
func TestFences(t *testing.T) {
	m := exact()
	m.Packets, m.Check, m.Leases = max(1, m.Packets-1), S1|S2, true
	holds(t, m)
}

// lingering is one in which processes keep the lock after the unlock.
func lingering() Model {
	m := exact()
	m.Linger, m.Progress = true, true
	return m
}

// TestLinger: nobody believes but one, though processes keep the lock after the unlock,
// whatever becomes of the notice. Whoever asks gets it at once if the notice arrives; if
// none does, when the window is over.
func TestLinger(t *testing.T) {
	holds(t, lingering())
}

// TestLingerFences: fences grow from one lease of a claim that lingers to the next.
func TestLingerFences(t *testing.T) {
	m := lingering()
	m.Packets, m.Check, m.Leases = max(1, m.Packets-1), S1|S2, true
	holds(t, m)
}

// valued is one whose holders store values, for an observer.
func valued() Model {
	m := brief()
	m.Check, m.Values, m.Progress = S1|S2|V1|V2, true, true
	return m
}

// TestValues: a value is stored under its writer's hold only, and seen while that lasts; an observer
// sees values in the order of their fences, also after a failover, and none in the end.
func TestValues(t *testing.T) {
	holds(t, valued())
	m := valued()
	m.Packets, m.Faults, m.Check = max(1, m.Packets-1), Failover, S2|V1
	holds(t, m)
}

// TestLostWrite: exclusion ends when Redis forgets, and the order of fences does
// not, as long as its clock is not set back by more than the time it was away.
func TestLostWrite(t *testing.T) {
	for name, f := range map[string]Fault{"eviction": LoseLock, "restart": Restart, "failover": Failover} {
		t.Run(name, func(t *testing.T) {
			m := exact()
			m.Faults = f
			breaks(t, m, S1)
		})
	}
	for name, f := range map[string]Fault{"fence": LoseFence | LoseLock, "queue": LoseQueue, "restart": Restart, "failover": Failover} {
		t.Run("fences after "+name, func(t *testing.T) {
			m := brief()
			m.Packets = max(1, m.Packets-1)
			m.Faults, m.Check, m.Progress = f, S2, true
			if f == Restart {
				m.Outage, m.Back = 1, 1
			}
			holds(t, m)
		})
	}
	t.Run("clock set back by more", func(t *testing.T) {
		m := exact()
		m.Faults, m.Outage, m.Back = Restart, 1, 2
		breaks(t, m, S2)
	})
	t.Run("leases of a lost claim", func(t *testing.T) { // PROTOCOL.md, 1
		m := exact()
		m.Faults, m.Leases = LoseLock, true
		breaks(t, m, S2)
	})
}

// TestClockStep: only forward does Redis' clock break anything.
func TestClockStep(t *testing.T) {
	m := exact()
	m.Faults = LeapForward
	breaks(t, m, S1)
	for _, p := range []Property{S1, S2} {
		m = brief()
		m.Packets = max(1, m.Packets-1)
		m.Faults, m.Back, m.Check, m.Progress = SetBack, 1, p, true
		holds(t, m)
	}
}

// TestMutants: the model would see these mistakes. Where no property is named, somebody waits for
// ever, or is seen to lead.
func TestMutants(t *testing.T) {
	three := func() Model { m := exact(); m.Packets = max(2, m.Packets); return m }
	lost := func() Model { m := valued(); m.Packets, m.Faults = max(1, m.Packets-1), Failover; return m }
	for name, c := range map[string]struct {
		mutant Mutant
		of     func() Model
		change func(*Model)
		breaks Property
	}{
		"window from the message's arrival":            {WindowFromArrival, three, nil, S1},
		"window from the latest request":               {WindowFromLatest, three, nil, S1},
		"release by anybody":                           {ReleaseAny, three, nil, S1},
		"renewal that makes the lock":                  {RenewCreates, brief, func(m *Model) { m.Claims, m.Packets = 2, 2 }, S1},
		"token used again":                             {TokenReused, three, nil, S1},
		"yield that keeps its token":                   {YieldKeepsToken, three, func(m *Model) { m.Claims = 2 }, S1},
		"window that comes to life again":              {Revives, brief, func(m *Model) { m.Packets = 3 }, S1},
		"no margin":                                    {Faithful, three, func(m *Model) { m.Drift = 1 }, S1},
		"fence without the clock":                      {FenceCounts, three, func(m *Model) { m.Faults, m.Outage = Restart, 1 }, S2},
		"a lease after the window":                     {LingersPastV, lingering, func(m *Model) { m.Progress = false }, S1},
		"no notice":                                    {NoNotice, lingering, nil, 0},
		"notice ignored":                               {NoticeIgnored, lingering, nil, 0},
		"a lingering claim that is renewed":            {RenewsIdle, lingering, nil, 0},
		"a value of any writer":                        {WriteUnchecked, valued, nil, V2},
		"a value deleted while held":                   {ClearAny, valued, nil, V2},
		"an observer that forgets a fence":             {ObserverGoesBack, lost, nil, V1},
		"an observer that does not look for the owner": {OwnerUnchecked, valued, func(m *Model) { m.Packets, m.Check = max(1, m.Packets-1), S1|S2 }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.of()
			m.Mutant = c.mutant
			if c.change != nil {
				c.change(&m)
			}
			breaks(t, m, c.breaks)
		})
	}
}
