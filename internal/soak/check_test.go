package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The histories are constructed by hand. Their times are in ms.
const ms = int64(time.Millisecond)

// hold returns a hold that was granted 1 ms after its request, was valid until a time, and was released
// then.
func hold(key string, weight int32, granted, until, fence int64) *interval {
	return &interval{key: key, weight: weight, requested: (granted - 1) * ms, replied: granted * ms, result: ok, fence: fence << 10,
		first: granted * ms, last: until * ms, release: until * ms, released: (until + 1) * ms, end: ok}
}

// endsWith changes the result of a hold's end.
func endsWith(s *interval, end result) *interval {
	s.end = end
	return s
}

// requestedAt changes the time of a hold's request.
func requestedAt(s *interval, at int64) *interval {
	s.requested = at * ms
	return s
}

// crashed removes the release, as if the worker was killed before it.
func crashed(s *interval) *interval {
	s.release, s.released, s.end = 0, 0, 0
	return s
}

// waitFor returns a wait for the group.
func waitFor(requested, replied int64, r result, tasks int32) *interval {
	return &interval{key: "w0", weight: wait, requested: requested * ms, replied: replied * ms, result: r, abandoned: tasks}
}

// events returns n events of the limiter with the same times.
func events(n int, requested, replied int64) (list []*interval) {
	for range n {
		list = append(list, &interval{key: "l0", weight: 1, requested: requested * ms, replied: replied * ms, result: ok})
	}
	return list
}

func newTimeline(byID ...*interval) *timeline { return &timeline{list: byID} }

// lose adds an excused loss of a key.
func (s *timeline) lose(key string, from, to int64) *timeline {
	s.excused = append(s.excused, excusedLoss{key, from * ms, to * ms})
	return s
}

// kill adds a crash of worker 0.
func (s *timeline) kill(t int64) *timeline {
	s.crashes = append(s.crashes, crash{0, t * ms})
	return s
}

// expectRules compares the violated rules, separated by commas, with want.
func expectRules(t *testing.T, name, want string, got []violation) {
	t.Helper()
	var rules []string
	for _, v := range got {
		rules = append(rules, v.rule)
	}
	slices.Sort(rules)
	if text := strings.Join(slices.Compact(rules), ","); text != want {
		t.Errorf("%s: %q, want %q: %v", name, text, want, got)
	}
}

// A history is a timeline of a key, with the rules that it violates.
type history struct {
	key  string
	s    *timeline
	want string
}

func checkHistories(t *testing.T, check func(s *timeline, key string) []violation, all map[string]history) {
	t.Helper()
	for name, h := range all {
		expectRules(t, name, h.want, check(h.s, h.key))
	}
}

func TestExclusionDetectsViolations(t *testing.T) {
	checkHistories(t, exclusion, map[string]history{
		"one after the other":        {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 10, 20, 2)), ""},
		"two at a time":              {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)), "S1"},
		"two, the second is shorter": {"m0", newTimeline(hold("m0", 1, 1, 100, 1), hold("m0", 1, 9, 10, 2)), "S1"},
		"two keys":                   {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m1", 1, 9, 20, 2)), ""},
		"the first worker crashed":   {"m0", newTimeline(crashed(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 9, 20, 2)), "S1"},
		"two during a loss":          {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 0, 10), ""},
		"two during a loss of all":   {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("", 0, 10), ""},
		"two, another key is lost":   {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("m1", 0, 10), "S1"},
		"two until after the loss":   {"m0", newTimeline(hold("m0", 1, 1, 12, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 0, 10), "S1"},
		"two before the loss":        {"m0", newTimeline(hold("m0", 1, 1, 12, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 10, 99), "S1"},
		"readers":                    {"r0", newTimeline(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 2)), ""},
		"a reader with the writer":   {"r0", newTimeline(hold("r0", all, 1, 10, 1), hold("r0", 1, 5, 20, 2)), "S1"},
		"the writer with a reader":   {"r0", newTimeline(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "S1"},
		"all permits":                {"s0", newTimeline(hold("s0", 1, 1, 10, 1), hold("s0", 2, 5, 20, 2)), ""},
		"a permit too many":          {"s0", newTimeline(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "S1"},
	})
}

// inheritedFence adds a hold under a claim of worker 0, granted after the hold of another worker.
func inheritedFence(s *timeline, worker uint8) *timeline {
	late := hold("m0", 1, 12, 20, 1)
	late.worker = worker
	late.fence++
	s.list = append(s.list, hold("m0", 1, 2, 4, 1), hold("m0", 1, 6, 10, 2), late)
	return s
}

func TestFencesDetectViolations(t *testing.T) {
	checkHistories(t, fences, map[string]history{
		"they grow":               {"m0", newTimeline(hold("m0", 1, 2, 10, 1), hold("m0", 1, 12, 20, 2)), ""},
		"one decreases":           {"m0", newTimeline(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)), "S2"},
		"one decreases in a loss": {"m0", newTimeline(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)).lose("", 0, 99), "S2"},
		"one is inherited":        {"m0", inheritedFence(newTimeline(), 0).lose("", 0, 99), ""},
		"inherited by another":    {"m0", inheritedFence(newTimeline(), 1).lose("", 0, 99), "S2"},
		"inherited without loss":  {"m0", inheritedFence(newTimeline(), 0), "S2"},
		"two equal fences":        {"m0", newTimeline(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 2)), "S2"},
		"requested before":        {"m0", newTimeline(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 1)), ""},
		"readers":                 {"r0", newTimeline(hold("r0", 1, 2, 10, 2), hold("r0", 1, 12, 20, 2), hold("r0", 1, 30, 40, 1)), ""},
		"a reader's decreases":    {"r0", newTimeline(hold("r0", all, 2, 10, 2), hold("r0", 1, 12, 20, 1)), "S2"},
		"a writer's decreases":    {"r0", newTimeline(hold("r0", 1, 2, 10, 2), hold("r0", all, 12, 20, 1)), "S2"},
		"permits' decrease":       {"s0", newTimeline(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 1)), ""},
		"two equal for permits":   {"s0", newTimeline(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 2)), "S2"},
	})
}

func TestFinalityDetectsViolations(t *testing.T) {
	s := &timeline{byID: map[int64]*interval{}}
	for i, kind := range []eventKind{requested, replied, stillHeld, release, released} {
		s.add(event{Kind: kind, Result: ok, Hold: 7, T: int64(i + 1)})
	}
	s.add(event{Kind: lossReported, Result: unknown, Hold: 7, T: 6}) // ErrUnlocked
	expectRules(t, "released", "", finality(s))
	s.add(event{Kind: stillHeld, Hold: 7, T: 7})
	expectRules(t, "valid after the release", "S3", finality(s))
	if s.list[0].end != ok {
		t.Errorf("the hold ended with %d", s.list[0].end)
	}
}

func TestRefusedReleasesDetectsViolations(t *testing.T) {
	const ttl = 600 * time.Millisecond
	passed := hold("m0", 1, 1, 10, 1) // granted inside the process, so its window may be old
	passed.fence++
	for name, c := range map[string]struct {
		s    *timeline
		want string
	}{
		"released":               {newTimeline(hold("m0", 1, 1, 10, 1)), ""},
		"refused":                {newTimeline(endsWith(hold("m0", 1, 1, 10, 1), lost)), "E"},
		"refused, the key lost":  {newTimeline(endsWith(hold("m0", 1, 1, 10, 1), lost)).lose("", 5, 50), ""},
		"refused, another lost":  {newTimeline(endsWith(hold("m0", 1, 1, 10, 1), lost)).lose("p0", 5, 50), "E"},
		"refused, long held":     {newTimeline(endsWith(hold("m0", 1, 1, 200, 1), lost)), ""},
		"refused, late reply":    {newTimeline(endsWith(requestedAt(hold("m0", 1, 190, 200, 1), 1), lost)), ""},
		"refused, handed over":   {newTimeline(endsWith(passed, lost)), ""},
		"unknown outcome":        {newTimeline(endsWith(hold("m0", 1, 1, 10, 1), unknown)), ""},
		"crashed before release": {newTimeline(crashed(hold("m0", 1, 1, 10, 1))), ""},
	} {
		expectRules(t, name, c.want, refusedReleases(c.s, "m0", ttl))
	}
}

func TestWaitGroupRulesDetectViolations(t *testing.T) {
	a, b := func() *interval { return hold("w0", 0, 10, 50, 0) }, func() *interval { return hold("w0", 0, 40, 90, 0) }
	for name, c := range map[string]struct {
		s    *timeline
		want string
	}{
		"ends with the tasks":       {newTimeline(a(), b(), waitFor(20, 91, ok, 0)), ""},
		"ends before the last":      {newTimeline(a(), b(), waitFor(20, 80, ok, 0)), "WaitGroup"},
		"ends before the last runs": {newTimeline(a(), b(), waitFor(20, 51, ok, 0)), "WaitGroup"},
		"starts before the tasks":   {newTimeline(a(), b(), waitFor(5, 80, ok, 0)), ""},
		"a task was lost":           {newTimeline(a(), endsWith(b(), lost), waitFor(20, 80, abandoned, 1)), "WaitGroup"},
		"a task died":               {newTimeline(a(), crashed(b()), waitFor(20, 91, abandoned, 1)), ""},
		"the group was lost":        {newTimeline(a(), b(), waitFor(20, 80, ok, 0)).lose("w0", 30, 99), ""},
		"canceled before the last":  {newTimeline(a(), b(), waitFor(20, 80, ctxDone, 0)), ""},
	} {
		expectRules(t, name, c.want, waitGroupRules(c.s, "w0", 0))
	}
}

func TestLossesAreCounted(t *testing.T) {
	const ttl = time.Second
	slow := hold("w0", 0, 10, 2600, 0) // so slow that two tasks may have expired before
	slow.replied = 2500 * ms
	unanswered := &interval{key: "w0", requested: 9 * ms}
	for name, c := range map[string]struct {
		s           *timeline
		least, most int
	}{
		"done":              {newTimeline(hold("w0", 0, 10, 50, 0)), 0, 0},
		"a reported loss":   {newTimeline(endsWith(hold("w0", 0, 10, 50, 0), lost)), 1, 1},
		"killed":            {newTimeline(crashed(hold("w0", 0, 10, 50, 0))).kill(50), 1, 1},
		"killed, uncounted": {newTimeline(unanswered).kill(50), 0, 1},
		"unsure":            {newTimeline(endsWith(hold("w0", 0, 10, 50, 0), unknown)), 0, 1},
		"a late reply":      {newTimeline(slow), 0, 2},
	} {
		if least, most := abandonedBounds(c.s, "w0", ttl); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d, want %d to %d", name, least, most, c.least, c.most)
		}
	}
	expectRules(t, "the wait reports all", "", excessAbandoned(newTimeline(waitFor(1, 9, abandoned, 2)), "w0", 2))
	expectRules(t, "the wait reports too many", "WaitGroup", excessAbandoned(newTimeline(waitFor(1, 9, abandoned, 3)), "w0", 2))
	expectRules(t, "the wait reports none", "WaitGroup", excessAbandoned(newTimeline(waitFor(1, 9, abandoned, 0)), "w0", 2))
}

func TestLimiterRulesDetectViolations(t *testing.T) {
	const second = 1000
	for name, c := range map[string]struct {
		list []*interval
		want string
	}{
		"the burst":              {events(burst, 100, 101), ""},
		"one more":               {events(burst+1, 100, 101), "Limiter"},
		"the burst and a second": {events(burst+rate, 100, 100+second), ""},
		"and one more":           {events(burst+rate+1, 100, 100+second), "Limiter"},
		"late, earlier requests": {slices.Concat(events(burst, 100, 101), events(3, 50, 101+75)), ""},
		"at twice the rate":      {slices.Concat(events(burst, 100, 101), events(rate, 101, 101+second/2)), "Limiter"},
	} {
		expectRules(t, name, c.want, limiterRules(newTimeline(c.list...), "l0", 0))
	}
	expectRules(t, "during a loss", "", limiterRules(newTimeline(events(burst+1, 100, 101)...).lose("l0", 0, 200), "l0", 0))
}

// refusedTry returns a failed try.
func refusedTry(key string, weight int32, requested, replied int64) *interval {
	return &interval{key: key, weight: weight, requested: requested * ms, replied: replied * ms, result: locked}
}

func TestLinearizableDetectsViolations(t *testing.T) {
	check := func(s *timeline, key string) []violation {
		for i, h := range s.list {
			h.id, h.worker = int64(i+1), uint8(i)
		}
		_, got := linearizable(s, key, 10*time.Millisecond)
		return got
	}
	checkHistories(t, check, map[string]history{
		"one after the other":        {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 12, 20, 2)), ""},
		"two at a time":              {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 5, 20, 2)), "linear"},
		"a fence decreases":          {"m0", newTimeline(hold("m0", 1, 2, 10, 2), hold("m0", 1, 20, 30, 1)), "linear"},
		"the next after a loss":      {"m0", newTimeline(endsWith(hold("m0", 1, 1, 10, 1), lost), hold("m0", 1, 20, 30, 2)), ""},
		"the next before the loss":   {"m0", newTimeline(endsWith(hold("m0", 1, 1, 10, 1), lost), hold("m0", 1, 5, 30, 2)), "linear"},
		"the next after a death":     {"m0", newTimeline(crashed(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 20, 30, 2)), ""},
		"the next before the death":  {"m0", newTimeline(crashed(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 5, 30, 2)), "linear"},
		"during a loss":              {"m0", newTimeline(hold("m0", 1, 1, 10, 1), hold("m0", 1, 5, 20, 2)).lose("m0", 0, 99), ""},
		"a try while it is held":     {"m2", newTimeline(hold("m2", 1, 1, 10, 1), refusedTry("m2", 1, 4, 6)), ""},
		"a try while it is free":     {"m2", newTimeline(hold("m2", 1, 1, 10, 1), refusedTry("m2", 1, 15, 16)), "linear"},
		"a try after unknown end":    {"m2", newTimeline(endsWith(hold("m2", 1, 1, 10, 1), unknown), refusedTry("m2", 1, 15, 16)), ""},
		"a try while it may linger":  {"m3", newTimeline(hold("m3", 1, 1, 10, 1), refusedTry("m3", 1, 15, 16)), ""},
		"a try after the linger":     {"m3", newTimeline(hold("m3", 1, 1, 10, 1), refusedTry("m3", 1, 3800, 3801)), "linear"},
		"a try while others wait":    {"m0", newTimeline(hold("m0", 1, 1, 10, 1), refusedTry("m0", 1, 15, 16)), ""},
		"a reader's try, and reader": {"r2", newTimeline(hold("r2", 1, 1, 10, 1), refusedTry("r2", 1, 4, 6)), "linear"},
		"a writer's try, and reader": {"r2", newTimeline(hold("r2", 1, 1, 10, 1), refusedTry("r2", all, 4, 6)), ""},
		"readers":                    {"r0", newTimeline(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 1), hold("r0", all, 22, 30, 2)), ""},
		"a writer with a reader":     {"r0", newTimeline(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "linear"},
		"all permits":                {"s0", newTimeline(hold("s0", 1, 1, 10, 2), hold("s0", 2, 5, 20, 1)), ""},
		"a permit too many":          {"s0", newTimeline(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "linear"},
	})
}

func TestOnceDetectsViolations(t *testing.T) {
	marked := func(h *interval) *interval { h.marked = true; return h }
	checkHistories(t, onceAnInterval, map[string]history{
		"an interval apart": {"o0", newTimeline(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 110, 112, 2))), ""},
		"too soon":          {"o0", newTimeline(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 108, 112, 2))), "Once"},
		"after a failure":   {"o0", newTimeline(hold("o0", 1, 10, 12, 1), marked(hold("o0", 1, 50, 52, 2))), ""},
		"the mark is lost":  {"o0", newTimeline(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 50, 52, 2))).lose("o0", 20, 30), ""},
	})
}
