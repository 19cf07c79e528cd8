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

// options change a model.
type options = func(m *Model)

// newModel returns a model without drift, which needs no margin.
func newModel(change ...options) *Model {
	t := int8(*ttl)
	m := &Model{Processes: *processes, Claims: *claims, Packets: *packets, TTL: t, Grant: t - 1, Life: t - 1, Check: S1}
	for _, f := range change {
		f(m)
	}
	return m
}

// Options for models that would have too many states.
func fewer(m *Model)   { m.Packets = max(1, m.Packets-1) }
func shorter(m *Model) { m.TTL, m.Grant, m.Life = m.TTL-1, m.Grant-1, m.Life-1 }

func progress(m *Model) { m.Progress = true }
func drifts(m *Model)   { m.Drift, m.Margin = *drift, 1 }
func yields(m *Model)   { m.Claims = max(m.Claims, 2) } // a process that yields needs two tokens
func lingers(m *Model)  { m.Linger, m.Progress = true, true }
func leases(m *Model)   { m.Check, m.Leases = S1|S2, true }
func batches(m *Model)  { m.Batch = 1 }

// values is for holders that store values, with an observer.
func values(m *Model) {
	shorter(m)
	m.Check, m.Values, m.Progress = S1|S2|V1|V2, true, true
}

// after is for models with faults of Redis: these violate S1.
func after(f Fault) options { return func(m *Model) { m.Faults, m.Check = f, m.Check&^S1|S2 } }

func restart(outage, back int8) options {
	return func(m *Model) { after(Restart)(m); m.Outage, m.Back = outage, back }
}

// TestHolds checks that no model violates a property, and that all waiters acquire the lock when the
// faults end.
func TestHolds(t *testing.T) {
	setBack := func(p Property) options { return func(m *Model) { m.Faults, m.Back, m.Check = SetBack, 1, p } }
	for name, m := range map[string]*Model{
		"exclusion":                    newModel(drifts, progress),
		"yields":                       newModel(yields, fewer, progress),
		"scripts that drop in batches": newModel(yields, fewer, progress, batches), // a release can leave the lock free while a process waits
		"fences":                       newModel(leases, fewer),
		"linger":                       newModel(lingers), // the lock is passed on at once if the notice arrives, and otherwise after the window
		"fences and linger":            newModel(lingers, leases, fewer),
		"values":                       newModel(values),
		"values after a failover":      newModel(values, fewer, after(Failover), func(m *Model) { m.Check = S2 | V1 }),
		"fences after an eviction":     newModel(shorter, fewer, progress, after(LoseFence|LoseLock)),
		"fences after a lost queue":    newModel(shorter, fewer, progress, after(LoseQueue)),
		"fences after a restart":       newModel(shorter, fewer, progress, restart(1, 1)),
		"fences after a failover":      newModel(shorter, fewer, progress, after(Failover)),
		"clock set back":               newModel(shorter, fewer, progress, setBack(S1)),
		"fences, clock set back":       newModel(shorter, fewer, progress, setBack(S2)),
	} {
		t.Run(name, func(t *testing.T) {
			r := m.Explore()
			t.Logf("%d states, %d transitions, %d ticks", r.States, r.Transitions, r.Slowest)
			if r.Broken != 0 || r.Stuck != "" {
				t.Errorf("%v is violated:\n%s\nor stuck: %s", r.Broken, strings.Join(r.Trace, "\n"), r.Stuck)
			}
		})
	}
}

// TestViolated checks that the model detects mistakes, and finds out what faults of Redis violate. Property
// 0 means that a waiter never acquires the lock, or that observers see a dead leader.
func TestViolated(t *testing.T) {
	mistake := func(x Mutant) options { return func(m *Model) { m.Mutant = x } }
	faults := func(f Fault) options { return func(m *Model) { m.Faults = f } }
	for name, c := range map[string]struct {
		*Model
		violated Property
	}{
		"eviction":          {newModel(faults(LoseLock)), S1},
		"restart":           {newModel(faults(Restart)), S1},
		"failover":          {newModel(faults(Failover)), S1},
		"clock set forward": {newModel(faults(LeapForward)), S1},
		"restart of an outage shorter than the step of the clock": {newModel(restart(1, 2)), S2},
		"leases of a lost claim":                                  {newModel(leases, after(LoseLock)), S2}, // PROTOCOL.md, 1

		"window from the message's arrival":         {newModel(mistake(WindowFromArrival)), S1},
		"window from the latest request":            {newModel(mistake(WindowFromLatest)), S1},
		"release without a check":                   {newModel(mistake(ReleaseAny)), S1},
		"renewal that creates the lock":             {newModel(mistake(RenewCreates), shorter, yields), S1},
		"reused token":                              {newModel(mistake(TokenReused)), S1},
		"yield that keeps its token":                {newModel(mistake(YieldKeepsToken), yields), S1},
		"expired window that is extended":           {newModel(mistake(Revives), shorter, func(m *Model) { m.Packets = 3 }), S1},
		"no margin":                                 {newModel(func(m *Model) { m.Drift = 1 }), S1},
		"fence without the clock":                   {newModel(mistake(FenceCounts), restart(1, 0)), S2},
		"a lease after the window":                  {newModel(mistake(LingersPastV), lingers), S1},
		"no notice":                                 {newModel(mistake(NoNotice), lingers), 0},
		"notice ignored":                            {newModel(mistake(NoticeIgnored), lingers), 0},
		"a lingering claim that is renewed":         {newModel(mistake(RenewsIdle), lingers), 0},
		"a value of any writer":                     {newModel(mistake(WriteUnchecked), values), V2},
		"a value deleted while held":                {newModel(mistake(ClearAny), values), V2},
		"an observer that forgets a fence":          {newModel(mistake(ObserverGoesBack), values, fewer, faults(Failover)), V1},
		"an observer that does not check the owner": {newModel(mistake(OwnerUnchecked), values, fewer), 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.Check = c.Check&S2 | c.violated
			r := c.Explore()
			t.Logf("%v is violated after %d states:\n%s\nstuck: %s", r.Broken, r.States, strings.Join(r.Trace, "\n"), r.Stuck)
			if r.Broken != c.violated || (r.Stuck != "") != (c.violated == 0) {
				t.Errorf("want a violation of %v", c.violated)
			}
		})
	}
}
