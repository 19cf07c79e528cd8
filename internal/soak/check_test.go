package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// The histories are constructed by hand. Their times are in ms.
const ms = int64(time.Millisecond)

// hold returns a hold that was granted 1 ms after its request, was valid until a time, and was released
// then.
func hold(key string, weight int32, granted, until, fence int64) *interval {
	h := request(key, weight, granted-1, granted, ok)
	h.Fence, h.First, h.Last, h.Release, h.Released, h.End = fence<<10, granted*ms, until*ms, until*ms, (until+1)*ms, ok
	return h
}

func request(key string, weight int32, requested, replied int64, r result) *interval {
	return &interval{Key: uint8(slices.Index(keys, key)), Weight: weight, Requested: requested * ms, Replied: replied * ms, Result: r}
}

// with changes an interval.
func with(h *interval, change func(h *interval)) *interval {
	change(h)
	return h
}

// endsWith changes the result of a hold's end.
func endsWith(h *interval, end result) *interval {
	h.End = end
	return h
}

// crashed removes the release, as if the worker was killed before it.
func crashed(h *interval) *interval {
	h.Release, h.Released, h.End = 0, 0, 0
	return h
}

// waitFor returns a wait for the group.
func waitFor(requested, replied int64, r result, tasks int32) *interval {
	return with(request("w0", wait, requested, replied, r), func(h *interval) { h.Abandoned = tasks })
}

// events returns n events of the limiter with the same times.
func events(n int, requested, replied int64) (list []*interval) {
	for range n {
		list = append(list, request("l0", 1, requested, replied, ok))
	}
	return list
}

func history(list ...*interval) *timeline { return &timeline{list: list} }

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

// inheritedFence returns a hold under a claim of worker 0, granted after the hold of another worker.
func inheritedFence(worker uint8) *timeline {
	late := with(hold("m0", 1, 12, 20, 1), func(h *interval) { h.Worker, h.Fence = worker, h.Fence+1 })
	return history(hold("m0", 1, 2, 4, 1), hold("m0", 1, 6, 10, 2), late)
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

// TestChecksDetectViolations runs each check on histories of a key, with the rule that they violate.
func TestChecksDetectViolations(t *testing.T) {
	type check = func(s *timeline, key string) []violation
	var exclusion, fences check = exclusion, fences
	refusal := func(s *timeline, key string) []violation { return refusedReleases(s, key, 600*time.Millisecond) }
	group := func(s *timeline, key string) []violation { return waitGroupRules(s, key, 0) }
	waits := func(s *timeline, key string) []violation { return abandonedRules(s, key, time.Second, 0, false) }
	limiter := func(s *timeline, key string) []violation { return limiterRules(s, key, 0) }
	once := func(s *timeline, key string) []violation { return onceRules(s, key, 0) }
	linear := func(s *timeline, key string) []violation {
		for i, h := range s.list {
			h.ID, h.Worker = int64(i+1), uint8(i)
		}
		return linearizable(s, key, 10*time.Millisecond)
	}

	first := func() *interval { return hold("m0", 1, 1, 10, 1) }
	pair := func(second *interval) *timeline { return history(first(), second) }
	overlap := func() *timeline { return pair(hold("m0", 1, 9, 20, 2)) }
	tasks := func(w *interval) *timeline { return history(hold("w0", 0, 10, 50, 0), hold("w0", 0, 40, 90, 0), w) }
	lostTask := endsWith(hold("w0", 0, 40, 90, 0), lost)
	passed := with(hold("m0", 1, 1, 10, 1), func(h *interval) { h.Fence, h.End = h.Fence+1, lost }) // granted inside the process, so its window may be old
	late := with(hold("m0", 1, 190, 200, 1), func(h *interval) { h.Requested, h.End = ms, lost })
	marked := func(from, fence int64) *interval {
		return with(hold("o0", 1, from, from+2, fence), func(h *interval) { h.Marked = true })
	}
	const second = 1000

	for _, c := range []struct {
		name    string
		check   check
		history *timeline
		want    string
	}{
		{"one after the other", exclusion, pair(hold("m0", 1, 10, 20, 2)), ""},
		{"two at a time", exclusion, overlap(), "S1"},
		{"two, the second is shorter", exclusion, history(hold("m0", 1, 1, 100, 1), hold("m0", 1, 9, 10, 2)), "S1"},
		{"two keys", exclusion, pair(hold("m1", 1, 9, 20, 2)), ""},
		{"the first worker crashed", exclusion, history(crashed(first()), hold("m0", 1, 9, 20, 2)), "S1"},
		{"two during a loss", exclusion, overlap().lose("m0", 0, 10), ""},
		{"two during a loss of all", exclusion, overlap().lose("", 0, 10), ""},
		{"two, another key is lost", exclusion, overlap().lose("m1", 0, 10), "S1"},
		{"two until after the loss", exclusion, overlap().lose("m0", 0, 9), "S1"},
		{"two before the loss", exclusion, overlap().lose("m0", 10, 99), "S1"},
		{"three, two until after the loss", exclusion, history(hold("m0", 1, 1, 99, 1), hold("m0", 1, 2, 50, 2), hold("m0", 1, 3, 60, 3)).lose("m0", 0, 55), "S1"},
		{"readers", exclusion, history(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 2)), ""},
		{"a reader with the writer", exclusion, history(hold("r0", all, 1, 10, 1), hold("r0", 1, 5, 20, 2)), "S1"},
		{"the writer with a reader", exclusion, history(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "S1"},
		{"all permits", exclusion, history(hold("s0", 1, 1, 10, 1), hold("s0", 2, 5, 20, 2)), ""},
		{"a permit too many", exclusion, history(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "S1"},

		{"fences grow", fences, pair(hold("m0", 1, 12, 20, 2)), ""},
		{"a fence decreases", fences, history(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)), "S2"},
		{"one decreases in a loss", fences, history(hold("m0", 1, 2, 10, 2), hold("m0", 1, 12, 20, 1)).lose("", 0, 99), "S2"},
		{"one is inherited", fences, inheritedFence(0).lose("", 0, 99), ""},
		{"inherited by another", fences, inheritedFence(1).lose("", 0, 99), "S2"},
		{"inherited without loss", fences, inheritedFence(0), "S2"},
		{"two equal fences", fences, history(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 2)), "S2"},
		{"requested before", fences, history(hold("m0", 1, 2, 10, 2), hold("m0", 1, 2, 20, 1)), ""},
		{"readers", fences, history(hold("r0", 1, 2, 10, 2), hold("r0", 1, 12, 20, 2), hold("r0", 1, 30, 40, 1)), ""},
		{"a reader's decreases", fences, history(hold("r0", all, 2, 10, 2), hold("r0", 1, 12, 20, 1)), "S2"},
		{"a writer's decreases", fences, history(hold("r0", 1, 2, 10, 2), hold("r0", all, 12, 20, 1)), "S2"},
		{"permits' decrease", fences, history(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 1)), ""},
		{"two equal for permits", fences, history(hold("s0", 1, 2, 10, 2), hold("s0", 1, 12, 20, 2)), "S2"},

		{"released", refusal, history(first()), ""},
		{"refused", refusal, history(endsWith(first(), lost)), "E"},
		{"refused, the key lost", refusal, history(endsWith(first(), lost)).lose("m0", 5, 50), ""},
		{"refused, another lost", refusal, history(endsWith(first(), lost)).lose("p0", 5, 50), "E"},
		{"refused, long held", refusal, history(endsWith(hold("m0", 1, 1, 200, 1), lost)), ""},
		{"refused, late reply", refusal, history(late), ""},
		{"refused, handed over", refusal, history(passed), ""},
		{"unknown outcome", refusal, history(endsWith(first(), unknown)), ""},

		{"a wait ends with the tasks", group, tasks(waitFor(20, 91, ok, 0)), ""},
		{"before the last", group, tasks(waitFor(20, 80, ok, 0)), "WaitGroup"},
		{"before the last runs alone", group, tasks(waitFor(20, 51, ok, 0)), "WaitGroup"},
		{"starts before the tasks", group, tasks(waitFor(5, 80, ok, 0)), ""},
		{"a task was lost", group, history(hold("w0", 0, 10, 50, 0), lostTask, waitFor(20, 80, abandoned, 1)), "WaitGroup"},
		{"a task died", group, history(hold("w0", 0, 10, 50, 0), crashed(hold("w0", 0, 40, 90, 0)), waitFor(20, 91, abandoned, 1)), ""},
		{"the group was lost", group, tasks(waitFor(20, 80, ok, 0)).lose("w0", 30, 99), ""},
		{"canceled before the last", group, tasks(waitFor(20, 80, ctxDone, 0)), ""},
		{"the wait reports all", waits, history(lostTask, waitFor(1, 99, abandoned, 1)), ""},
		{"the wait reports too many", waits, history(lostTask, waitFor(1, 99, abandoned, 2)), "WaitGroup"},
		{"the wait reports none", waits, history(lostTask, waitFor(1, 99, abandoned, 0)), "WaitGroup"},

		{"the burst", limiter, history(events(burst, 100, 101)...), ""},
		{"one more", limiter, history(events(burst+1, 100, 101)...), "Limiter"},
		{"one more during a loss", limiter, history(events(burst+1, 100, 101)...).lose("l0", 0, 200), ""},
		{"the burst and a second", limiter, history(events(burst+rate, 100, 100+second)...), ""},
		{"and one more", limiter, history(events(burst+rate+1, 100, 100+second)...), "Limiter"},
		{"late, earlier requests", limiter, history(append(events(burst, 100, 101), events(3, 50, 101+75)...)...), ""},
		{"at twice the rate", limiter, history(append(events(burst, 100, 101), events(rate, 101, 101+second/2)...)...), "Limiter"},

		{"runs an interval apart", once, history(marked(10, 1), marked(110, 2)), ""},
		{"too soon", once, history(marked(10, 1), marked(108, 2)), "Once"},
		{"after a failure", once, history(hold("o0", 1, 10, 12, 1), marked(50, 2)), ""},
		{"the mark is lost", once, history(marked(10, 1), marked(50, 2)).lose("o0", 20, 30), ""},

		{"one after the other", linear, pair(hold("m0", 1, 12, 20, 2)), ""},
		{"two at a time", linear, pair(hold("m0", 1, 5, 20, 2)), "linear"},
		{"a fence decreases", linear, history(hold("m0", 1, 2, 10, 2), hold("m0", 1, 20, 30, 1)), "linear"},
		{"the next after a loss", linear, history(endsWith(first(), lost), hold("m0", 1, 20, 30, 2)), ""},
		{"the next before the loss", linear, history(endsWith(first(), lost), hold("m0", 1, 5, 30, 2)), "linear"},
		{"the next after a death", linear, history(crashed(first()), hold("m0", 1, 20, 30, 2)), ""},
		{"the next before the death", linear, history(crashed(first()), hold("m0", 1, 5, 30, 2)), "linear"},
		{"during a loss", linear, pair(hold("m0", 1, 5, 20, 2)).lose("m0", 0, 99), ""},
		{"a try while it is held", linear, history(hold("m2", 1, 1, 10, 1), request("m2", 1, 4, 6, locked)), ""},
		{"a try while it is free", linear, history(hold("m2", 1, 1, 10, 1), request("m2", 1, 15, 16, locked)), "linear"},
		{"a try after unknown end", linear, history(endsWith(hold("m2", 1, 1, 10, 1), unknown), request("m2", 1, 15, 16, locked)), ""},
		{"a try while it may linger", linear, history(hold("m3", 1, 1, 10, 1), request("m3", 1, 15, 16, locked)), ""},
		{"a try after the linger", linear, history(hold("m3", 1, 1, 10, 1), request("m3", 1, 3800, 3801, locked)), "linear"},
		{"a try while others wait", linear, pair(request("m0", 1, 15, 16, locked)), ""},
		{"a reader's try, and reader", linear, history(hold("r2", 1, 1, 10, 1), request("r2", 1, 4, 6, locked)), "linear"},
		{"a writer's try, and reader", linear, history(hold("r2", 1, 1, 10, 1), request("r2", all, 4, 6, locked)), ""},
		{"readers", linear, history(hold("r0", 1, 1, 10, 1), hold("r0", 1, 5, 20, 1), hold("r0", all, 22, 30, 2)), ""},
		{"a writer with a reader", linear, history(hold("r0", 1, 1, 10, 1), hold("r0", all, 5, 20, 2)), "linear"},
		{"all permits", linear, history(hold("s0", 1, 1, 10, 2), hold("s0", 2, 5, 20, 1)), ""},
		{"a permit too many", linear, history(hold("s0", 2, 1, 10, 1), hold("s0", 2, 5, 20, 2)), "linear"},
	} {
		expectRules(t, c.history.list[0].key()+": "+c.name, c.want, c.check(c.history, c.history.list[0].key()))
	}
}

func TestFinalityDetectsViolations(t *testing.T) {
	h := hold("m0", 1, 1, 10, 1)
	h.observed(12*ms, mutex.ErrUnlocked) // the hold has been released
	expectRules(t, "released", "", finality(history(h)))
	if h.End != ok || h.LossReported != 0 {
		t.Errorf("the hold ended with %v", h)
	}
	h.observed(13*ms, nil)
	expectRules(t, "valid after the release", "S3", finality(history(h)))
}

func TestAbandonedTasksAreCounted(t *testing.T) {
	task := func() *interval { return hold("w0", 0, 10, 50, 0) }
	slow := with(hold("w0", 0, 2500, 2600, 0), func(h *interval) { h.Requested = 10 * ms }) // so slow that two tasks may have expired before
	for name, c := range map[string]struct {
		s           *timeline
		least, most int
	}{
		"done":              {history(task()), 0, 0},
		"a reported loss":   {history(endsWith(task(), lost)), 1, 1},
		"killed":            {history(crashed(task())).kill(50), 1, 1},
		"killed, uncounted": {history(request("w0", 0, 9, 0, 0)).kill(50), 0, 1},
		"unsure":            {history(endsWith(task(), unknown)), 0, 1},
		"a late reply":      {history(slow), 0, 2},
	} {
		if least, most := abandonedBounds(c.s, "w0", time.Second); least != c.least || most != c.most {
			t.Errorf("%s: %d to %d, want %d to %d", name, least, most, c.least, c.most)
		}
	}
	expectRules(t, "Redis has counted one too many", "WaitGroup", abandonedRules(history(task()), "w0", time.Second, 1, true))
}

// script returns a transaction in the format of an append-only file.
func script(commands ...string) string {
	b := ""
	for _, c := range slices.Concat([]string{"MULTI"}, commands, []string{"EXEC"}) {
		words := strings.Fields(c)
		b += fmt.Sprintf("*%d\r\n", len(words))
		for _, w := range words {
			b += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
		}
	}
	return b
}

func TestFIFOCheckerDetectsViolations(t *testing.T) {
	grant := script("SET baton:{m0}:fence 5 PXAT 9999", "SET m0 a PXAT 9999")
	queue := script("ZADD baton:{m0}:queue 1 x", "ZADD baton:{m0}:queue NX 2 b")
	const handOver = "SET m0 b PXAT 9999"
	for name, c := range map[string]struct{ file, want string }{
		"handed to the first":    {grant + queue + script("DEL m0", "ZREM baton:{m0}:queue x b", handOver), ""},
		"the first is skipped":   {grant + queue + script("DEL m0", "ZREM baton:{m0}:queue b", handOver), "FIFO"},
		"granted past the queue": {queue + grant, "FIFO"},
		"the queue has expired":  {queue + script("DEL baton:{m0}:queue") + grant, ""},
		"the data is lost":       {queue + script("FLUSHALL") + grant, ""},
	} {
		f := &fifoChecker{queues: map[string]map[string]int64{}}
		f.replay("#TS:1\r\n" + c.file + "*2\r\n$3\r\nD") // the last command is incomplete
		expectRules(t, name, c.want, f.list)
	}
}

func TestRecoveryDetectsViolations(t *testing.T) {
	longest := func(string) time.Duration { return 20 * time.Millisecond }
	unanswered := request("m0", 1, 15, 0, 0)
	s := history(hold("m0", 1, 10, 12, 1), hold("m0", 1, 30, 35, 2), hold("m0", 1, 40, 45, 2), unanswered)
	got := recovery(s, []string{"m0", "m1"}, 20*ms, 500*ms, 100*time.Millisecond, longest)
	if got[0].took != 10*time.Millisecond || got[0].bound != 120*time.Millisecond {
		t.Errorf("m0 took %v", got[0])
	}
	if got[1].took != 480*time.Millisecond {
		t.Errorf("m1, without a grant, took %v", got[1])
	}
	if list := stranded(s, 20*ms); len(list) != 1 || list[0] != unanswered {
		t.Errorf("stranded are %v", list)
	}
	if list := stranded(s, 14*ms); len(list) != 0 {
		t.Errorf("stranded are %v, which was requested after the fault", list)
	}
	if list := stranded(s.kill(16), 20*ms); len(list) != 0 {
		t.Errorf("stranded are %v, whose worker is dead", list)
	}
}

// TestFirstFree: a wait for a generation is not stranded while tasks follow one another.
func TestFirstFree(t *testing.T) {
	running := history(crashed(hold("w0", 0, 42, 50, 1)))
	for _, c := range []struct {
		s           *timeline
		since, want int64
	}{
		{history(hold("w0", 0, 10, 12, 1), hold("w0", 0, 13, 20, 1)), 5, 5},
		{history(hold("w0", 0, 10, 12, 1), hold("w0", 0, 13, 20, 1)), 9, 21},
		{history(hold("w0", 0, 10, 12, 1), hold("w0", 0, 13, 20, 1)), 11, 21},
		{history(hold("w0", 0, 10, 12, 1), hold("w0", 0, 40, 45, 1)), 25, 25},
		{running, 43, 500},
		{history(running.list...).kill(60), 43, 160}, // tasks of a dead worker count for a TTL
	} {
		if got := c.s.firstFree("w0", c.since*ms, 500*ms, 100*time.Millisecond); got != c.want*ms {
			t.Errorf("since %d ms: free from %d ms, want %d", c.since, got/ms, c.want)
		}
	}
}
