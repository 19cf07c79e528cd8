package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The histories are forged; their times are in ms.
const ms = int64(time.Millisecond)

// hold is a span of a key, granted 1 ms after it was asked for, believed in until a
// time, and released then.
func hold(key string, weight int32, granted, until, fence int64) *interval {
	return &interval{key: key, weight: weight, asked: (granted - 1) * ms, answered: granted * ms, result: ok, fence: fence << 10,
		first: granted * ms, last: until * ms, release: until * ms, released: (until + 1) * ms, end: ok}
}

// ends is a hold that ends otherwise.
func ends(s *interval, end result) *interval {
	s.end = end
	return s
}

// asks is a hold that was asked for at another time.
func asks(s *interval, at int64) *interval {
	s.asked = at * ms
	return s
}

// dies is a hold whose worker is killed before its release.
func dies(s *interval) *interval {
	s.release, s.released, s.end = 0, 0, 0
	return s
}

// waits is a wait for the group.
func waits(asked, answered int64, r result, tasks int32) *interval {
	return &interval{key: "w0", weight: wait, asked: asked * ms, answered: answered * ms, result: r, abandoned: tasks}
}

// turns are n events of the limiter, all requested at a time and granted at another.
func turns(n int, asked, answered int64) (list []*interval) {
	for range n {
		list = append(list, &interval{key: "l0", weight: 1, asked: asked * ms, answered: answered * ms, result: ok})
	}
	return list
}

func forge(spans ...*interval) *timeline { return &timeline{list: spans} }

// lose has the key lost in a time.
func (s *timeline) lose(key string, from, to int64) *timeline {
	s.excused = append(s.excused, excusedLoss{key, from * ms, to * ms})
	return s
}

// kill has worker 0 killed at a time.
func (s *timeline) kill(t int64) *timeline {
	s.crashes = append(s.crashes, crash{0, t * ms})
	return s
}

// wants compares the rules that were broken, with commas, with those that are.
func wants(t *testing.T, name, want string, got []violation) {
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

// A history is of a key, and breaks the rules that are wanted.
type history struct {
	key  string
	s    *timeline
	want string
}

func bites(t *testing.T, check func(s *timeline, key string) []violation, all map[string]history) {
	t.Helper()
	for name, h := range all {
		wants(t, name, h.want, check(h.s, h.key))
	}
}

func TestExclusionBites(t *testing.T) {
	bites(t, exclusion, map[string]history{
		"one after the other":        {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 10, 20, 2)), ""},
		"two at a time":              {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)), "S1"},
		"two, the inner is short":    {"m0", forge(hold("m0", 1, 1, 100, 1), hold("m0", 1, 9, 10, 2)), "S1"},
		"two keys":                   {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m1", 1, 9, 20, 2)), ""},
		"the last one is dead":       {"m0", forge(dies(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 9, 20, 2)), "S1"},
		"two in a void":              {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 0, 10), ""},
		"two in a void of all":       {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("", 0, 10), ""},
		"two in another's void":      {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 9, 20, 2)).lose("m1", 0, 10), "S1"},
		"two beyond the void":        {"m0", forge(hold("m0", 1, 1, 12, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 0, 10), "S1"},
		"two before the void":        {"m0", forge(hold("m0", 1, 1, 12, 1), hold("m0", 1, 9, 20, 2)).lose("m0", 10, 99), "S1"},
		"readers":                    {"r0", forge(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 2)), ""},
		"a reader beside the writer": {"r0", forge(hold("r0", all, 1, 10, 1), hold("r0", 1, 5, 20, 2)), "S1"},
		"the writer beside a reader": {"r0", forge(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "S1"},
		"all permits":                {"s0", forge(hold("s0", 1, 1, 10, 1), hold("s0", 2, 5, 20, 2)), ""},
		"a permit too many":          {"s0", forge(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "S1"},
	})
}

// inherits has a worker grant a hold from a claim of worker 0, after one by another.
func inherits(s *timeline, worker uint8) *timeline {
	late := hold("m0", 1, 12, 20, 1)
	late.worker = worker
	late.fence++
	s.list = append(s.list, hold("m0", 1, 2, 4, 1), hold("m0", 1, 6, 10, 2), late)
	return s
}

func TestFencesBite(t *testing.T) {
	bites(t, fences, map[string]history{
		"they grow":               {"m0", forge(hold("m0", 1, 2, 10, 1), hold("m0", 1, 12, 20, 2)), ""},
		"one goes back":           {"m0", forge(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)), "S2"},
		"one goes back in a void": {"m0", forge(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)).lose("", 0, 99), "S2"},
		"one is inherited":        {"m0", inherits(forge(), 0).lose("", 0, 99), ""},
		"inherited by another":    {"m0", inherits(forge(), 1).lose("", 0, 99), "S2"},
		"inherited out of a void": {"m0", inherits(forge(), 0), "S2"},
		"one comes twice":         {"m0", forge(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 2)), "S2"},
		"asked for before":        {"m0", forge(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 1)), ""},
		"readers":                 {"r0", forge(hold("r0", 1, 2, 10, 2), hold("r0", 1, 12, 20, 2), hold("r0", 1, 30, 40, 1)), ""},
		"a reader's goes back":    {"r0", forge(hold("r0", all, 2, 10, 2), hold("r0", 1, 12, 20, 1)), "S2"},
		"a writer's goes back":    {"r0", forge(hold("r0", 1, 2, 10, 2), hold("r0", all, 12, 20, 1)), "S2"},
		"permits go back":         {"s0", forge(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 1)), ""},
		"permits' come twice":     {"s0", forge(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 2)), "S2"},
	})
}

func TestFinalityBites(t *testing.T) {
	s := &timeline{spans: map[int64]*interval{}}
	for i, what := range []what{asked, answered, stillHeld, release, released} {
		s.add(event{What: what, Result: ok, Hold: 7, T: int64(i + 1)})
	}
	s.add(event{What: lossReported, Result: unsure, Hold: 7, T: 6}) // ErrUnlocked
	wants(t, "released", "", finality(s))
	s.add(event{What: stillHeld, Hold: 7, T: 7})
	wants(t, "believed in after it was released", "S3", finality(s))
	if s.list[0].end != ok {
		t.Errorf("it ended with %d", s.list[0].end)
	}
}

func TestRefusalsBite(t *testing.T) {
	const ttl = 600 * time.Millisecond
	passed := hold("m0", 1, 1, 10, 1) // inside the process, so that its window may be old
	passed.fence++
	for name, c := range map[string]struct {
		s    *timeline
		want string
	}{
		"released":               {forge(hold("m0", 1, 1, 10, 1)), ""},
		"refused":                {forge(ends(hold("m0", 1, 1, 10, 1), lost)), "E"},
		"refused, the key lost":  {forge(ends(hold("m0", 1, 1, 10, 1), lost)).lose("", 5, 50), ""},
		"refused, another lost":  {forge(ends(hold("m0", 1, 1, 10, 1), lost)).lose("p0", 5, 50), "E"},
		"refused, long held":     {forge(ends(hold("m0", 1, 1, 200, 1), lost)), ""},
		"refused, told late":     {forge(ends(asks(hold("m0", 1, 190, 200, 1), 1), lost)), ""},
		"refused, handed over":   {forge(ends(passed, lost)), ""},
		"nobody knows about it":  {forge(ends(hold("m0", 1, 1, 10, 1), unsure)), ""},
		"dead before it release": {forge(dies(hold("m0", 1, 1, 10, 1))), ""},
	} {
		wants(t, name, c.want, refusals(c.s, "m0", ttl))
	}
}

func TestRoundsBite(t *testing.T) {
	a, b := func() *interval { return hold("w0", 0, 10, 50, 0) }, func() *interval { return hold("w0", 0, 40, 90, 0) }
	for name, c := range map[string]struct {
		s    *timeline
		want string
	}{
		"over with the tasks":      {forge(a(), b(), waits(20, 91, ok, 0)), ""},
		"over before the last":     {forge(a(), b(), waits(20, 80, ok, 0)), "WaitGroup"},
		"before the last has run":  {forge(a(), b(), waits(20, 51, ok, 0)), "WaitGroup"},
		"begun before the tasks":   {forge(a(), b(), waits(5, 80, ok, 0)), ""},
		"a task was lost":          {forge(a(), ends(b(), lost), waits(20, 80, abandoned, 1)), "WaitGroup"},
		"a task died":              {forge(a(), dies(b()), waits(20, 91, abandoned, 1)), ""},
		"the group was lost":       {forge(a(), b(), waits(20, 80, ok, 0)).lose("w0", 30, 99), ""},
		"given up before the last": {forge(a(), b(), waits(20, 80, ended, 0)), ""},
	} {
		wants(t, name, c.want, rounds(c.s, "w0", 0))
	}
}

func TestLossesAreCounted(t *testing.T) {
	const ttl = time.Second
	slow := hold("w0", 0, 10, 2600, 0) // for so long that two tasks may have run out before
	slow.answered = 2500 * ms
	unheard := &interval{key: "w0", asked: 9 * ms}
	for name, c := range map[string]struct {
		s           *timeline
		least, most int
	}{
		"done":              {forge(hold("w0", 0, 10, 50, 0)), 0, 0},
		"told of its loss":  {forge(ends(hold("w0", 0, 10, 50, 0), lost)), 1, 1},
		"killed":            {forge(dies(hold("w0", 0, 10, 50, 0))).kill(50), 1, 1},
		"killed, uncounted": {forge(unheard).kill(50), 0, 1},
		"unsure":            {forge(ends(hold("w0", 0, 10, 50, 0), unsure)), 0, 1},
		"slow to be heard":  {forge(slow), 0, 2},
	} {
		if least, most := losses(c.s, "w0", ttl); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d, want %d to %d", name, least, most, c.least, c.most)
		}
	}
	wants(t, "told of all", "", overstated(forge(waits(1, 9, abandoned, 2)), "w0", 2))
	wants(t, "told of too many", "WaitGroup", overstated(forge(waits(1, 9, abandoned, 3)), "w0", 2))
	wants(t, "told of none", "WaitGroup", overstated(forge(waits(1, 9, abandoned, 0)), "w0", 2))
}

func TestPaceBites(t *testing.T) {
	const second = 1000
	for name, c := range map[string]struct {
		list []*interval
		want string
	}{
		"the burst":              {turns(burst, 100, 101), ""},
		"one more":               {turns(burst+1, 100, 101), "Limiter"},
		"the burst and a second": {turns(burst+rate, 100, 100+second), ""},
		"and one more":           {turns(burst+rate+1, 100, 100+second), "Limiter"},
		"late, but asked before": {slices.Concat(turns(burst, 100, 101), turns(3, 50, 101+75)), ""},
		"at twice the rate":      {slices.Concat(turns(burst, 100, 101), turns(rate, 101, 101+second/2)), "Limiter"},
	} {
		wants(t, name, c.want, pace(forge(c.list...), "l0", 0))
	}
	wants(t, "in a void", "", pace(forge(turns(burst+1, 100, 101)...).lose("l0", 0, 200), "l0", 0))
}

// refused is a try that was refused in a time.
func refused(key string, weight int32, asked, answered int64) *interval {
	return &interval{key: key, weight: weight, asked: asked * ms, answered: answered * ms, result: locked}
}

func TestLinearizableBites(t *testing.T) {
	check := func(s *timeline, key string) []violation {
		for i, h := range s.list {
			h.id, h.worker = int64(i+1), uint8(i)
		}
		_, got := linearizable(s, key, 10*time.Millisecond)
		return got
	}
	bites(t, check, map[string]history{
		"one after the other":        {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 12, 20, 2)), ""},
		"two at a time":              {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 5, 20, 2)), "linear"},
		"a fence goes back":          {"m0", forge(hold("m0", 1, 2, 10, 2), hold("m0", 1, 20, 30, 1)), "linear"},
		"the next after a loss":      {"m0", forge(ends(hold("m0", 1, 1, 10, 1), lost), hold("m0", 1, 20, 30, 2)), ""},
		"the next before the loss":   {"m0", forge(ends(hold("m0", 1, 1, 10, 1), lost), hold("m0", 1, 5, 30, 2)), "linear"},
		"the next after a death":     {"m0", forge(dies(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 20, 30, 2)), ""},
		"the next before the death":  {"m0", forge(dies(hold("m0", 1, 1, 10, 1)), hold("m0", 1, 5, 30, 2)), "linear"},
		"in a void":                  {"m0", forge(hold("m0", 1, 1, 10, 1), hold("m0", 1, 5, 20, 2)).lose("m0", 0, 99), ""},
		"a try while one holds":      {"m2", forge(hold("m2", 1, 1, 10, 1), refused("m2", 1, 4, 6)), ""},
		"a try while nobody holds":   {"m2", forge(hold("m2", 1, 1, 10, 1), refused("m2", 1, 15, 16)), "linear"},
		"a try after an abandoned":   {"m2", forge(ends(hold("m2", 1, 1, 10, 1), unsure), refused("m2", 1, 15, 16)), ""},
		"a try while it may linger":  {"m3", forge(hold("m3", 1, 1, 10, 1), refused("m3", 1, 15, 16)), ""},
		"a try after the linger":     {"m3", forge(hold("m3", 1, 1, 10, 1), refused("m3", 1, 3800, 3801)), "linear"},
		"a try while others wait":    {"m0", forge(hold("m0", 1, 1, 10, 1), refused("m0", 1, 15, 16)), ""},
		"a reader's try, and reader": {"r2", forge(hold("r2", 1, 1, 10, 1), refused("r2", 1, 4, 6)), "linear"},
		"a writer's try, and reader": {"r2", forge(hold("r2", 1, 1, 10, 1), refused("r2", all, 4, 6)), ""},
		"readers":                    {"r0", forge(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 1), hold("r0", all, 22, 30, 2)), ""},
		"a writer beside a reader":   {"r0", forge(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "linear"},
		"all permits":                {"s0", forge(hold("s0", 1, 1, 10, 2), hold("s0", 2, 5, 20, 1)), ""},
		"a permit too many":          {"s0", forge(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "linear"},
	})
}

func TestOnceBites(t *testing.T) {
	marked := func(h *interval) *interval { h.marked = true; return h }
	bites(t, onceAnInterval, map[string]history{
		"an interval apart": {"o0", forge(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 110, 112, 2))), ""},
		"too soon":          {"o0", forge(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 108, 112, 2))), "Once"},
		"after a failure":   {"o0", forge(hold("o0", 1, 10, 12, 1), marked(hold("o0", 1, 50, 52, 2))), ""},
		"the mark is lost":  {"o0", forge(marked(hold("o0", 1, 10, 12, 1)), marked(hold("o0", 1, 50, 52, 2))).lose("o0", 20, 30), ""},
	})
}
