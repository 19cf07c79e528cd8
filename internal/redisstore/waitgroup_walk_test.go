package redisstore

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var (
	groupSeed      = flag.Uint64("group.seed", 0, "start TestWaitGroupModel with this schedule")
	groupSchedules = flag.Int("group.schedules", 2000, "schedules of TestWaitGroupModel, three quarters of them on Redis")
	groupTime      = flag.Duration("group.time", 6*time.Second, "of TestWaitGroupModel at most, where the race detector or others slow it down")
)

// TestWaitGroupModel runs random schedules of what sessions do, and of what befalls
// their requests, tasks and keys, against the model: after each step the answer,
// all that the server stores, and what it tells must be the model's.
func TestWaitGroupModel(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"miniredis", "redis"} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			w := &world{}
			if server == "redis" {
				w.rdb = redistest.Start(t).Client(t)
			} else {
				w.mini = redistest.Mini(t)
				w.rdb = redistest.MiniClient(t, w.mini)
			}
			w.sub = w.rdb.PSubscribe(t.Context(), "*")
			defer w.sub.Close()
			must(w.sub.Receive(t.Context()))(t)
			seed := *groupSeed
			if seed == 0 {
				seed = rand.Uint64() >> 16
			}
			seen := map[string]int{}
			n := *groupSchedules / 4
			if w.mini == nil { // which does not compile a script for each call
				n = *groupSchedules - n
			}
			done := uint64(0)
			for start := time.Now(); done < uint64(n) && time.Since(start) < *groupTime; done++ {
				w.walk(t, seed+done, seen)
			}
			t.Logf("%d schedules from seed %d: %v", done, seed, seen)
		})
	}
}

// slow is less than half the time between the ends of any two tasks, if no real
// time passes.
const slow = 4 * time.Second

// world is the server of many schedules.
type world struct {
	rdb  *redis.Client
	mini *miniredis.Miniredis // nil: it is a redis-server
	sub  *redis.PubSub
}

// groupWalk is one random schedule of three sessions. On miniredis time stands still
// but for what the schedule says, so that all times are known to the ms.
type groupWalk struct {
	*group
	*world
	rng          *rand.Rand
	seed         uint64
	model        *groupModel
	sessions     [3]*numbering
	flight       []*delivery
	tokens       []string
	trouble      trouble
	begun, start time.Time            // start is that of the server when the clock of the model was 0
	last         int64                // the highest number of a generation so far
	was          taskgroup.Generation // what the last look said
	final        map[opID]int         // how often an operation counts that is over
	trace        []string
}

func (w *world) walk(t *testing.T, seed uint64, seen map[string]int) {
	s := &groupWalk{world: w, seed: seed, model: newTally(), final: map[opID]int{}}
	s.rng = rand.New(rand.NewPCG(seed, 0))
	s.group = newGroup(t, w.rdb, fmt.Sprint("key ", seed))
	s.trouble = trouble(s.rng.IntN(3))
	if w.mini != nil {
		s.trouble = trouble(s.rng.IntN(4))
	}
	for i := range s.sessions {
		s.sessions[i] = &numbering{id: fmt.Sprint("s", i), acked: map[int64]bool{}}
	}
	s.begun = time.Now().Truncate(time.Millisecond)
	if s.start = s.begun; w.mini != nil {
		w.mini.SetTime(s.start)
	}
	for range 12 {
		if w.mini == nil && time.Since(s.begun) > slow {
			t.Logf("seed %d: too slow to compare further", seed)
			break
		}
		name, saw, want := s.step()
		s.trace = append(s.trace, fmt.Sprintf("%-60s %s; %v", name, want, s.model))
		seen[strings.Fields(name)[0]+" "+want]++
		equal(t, "the server's answer", saw, want)
		s.compare()
		if !strings.HasPrefix(name, "pass") && s.rng.IntN(4) > 0 { // a look ends tasks, and so may do what comes next
			s.polls()
		}
		if s.invariants(); t.Failed() {
			break
		}
	}
	s.heard()
	if s.rng.IntN(20) == 0 {
		check(t, s.rdb.ScriptFlush(t.Context()).Err())
	}
	if t.Failed() {
		t.Fatalf("run again with -group.seed %d\n%s", seed, strings.Join(s.trace, "\n"))
	}
}

// compare checks all that is stored.
func (s *groupWalk) compare() {
	s.Helper()
	pipe, ctx := s.rdb.Pipeline(), s.Context()
	read := s.read(pipe)
	var ops [len(s.sessions)]*redis.MapStringStringCmd
	var ttls [len(s.sessions)]*redis.DurationCmd
	for i, n := range s.sessions {
		ops[i], ttls[i] = pipe.HGetAll(ctx, s.operations(n.id)), pipe.PTTL(ctx, s.operations(n.id))
	}
	must(pipe.Exec(ctx))(s.T)
	got, want := read(), s.model
	if want.last == nil {
		equal(s.T, "the group", got.state, "")
	} else {
		s.name(want.last, got.number)
		lost := map[int64]int64{}
		for _, b := range want.lost {
			lost[b.number] = b.abandoned
		}
		equal(s.T, "the state", got.state, fmt.Sprintf("generation %d count %d abandoned %d since %d",
			want.last.number, want.last.count, want.last.abandoned, want.oldestKnown.number))
		equal(s.T, "the lost", fmt.Sprint(got.lost), fmt.Sprint(lost))
		equal(s.T, "the tasks", len(got.tasks), len(want.last.tasks))
		for token, ends := range want.last.tasks {
			s.about("the end of "+token, time.UnixMilli(got.tasks[token]).Sub(s.start), ends)
		}
		s.kept("the group", got.ttl, want.remaining)
	}
	for i, n := range s.sessions {
		fields := map[string]string{}
		if b := want.books[n.id]; b != nil {
			if b.ackedThrough > 0 {
				fields["acked"] = fmt.Sprint(b.ackedThrough)
			}
			for op, note := range b.ops {
				fields[fmt.Sprint(op)] = note.String()
			}
			s.kept("the operations", ttls[i].Val(), b.remaining)
		}
		equal(s.T, "what is remembered of "+n.id, fmt.Sprint(ops[i].Val()), fmt.Sprint(fields))
	}
}

func (n note) String() string {
	of, on, found := n.Token, int64(0), int64(0)
	switch n.Op {
	case taskgroup.OpAdd:
		of = fmt.Sprint(n.Delta)
	case taskgroup.OpUndo:
		of = "-"
	}
	if n.generation != nil {
		on = n.generation.number
	}
	if n.found != nil {
		found = n.found.number
	}
	return fmt.Sprintf("%d %s %s %d %d", n.outcome, n.Op, of, on, found)
}

// about checks a time, which on a redis-server may be later by what has passed.
func (s *groupWalk) about(what string, got, want time.Duration) {
	s.Helper()
	if late := got - want; late != 0 && s.mini != nil || late < 0 || late > 2*slow {
		s.Errorf("%s: %v, want %v", what, got, want)
	}
}

// kept checks a key's TTL. On a redis-server only what is real passes of it, so that
// it is longer than in the model by what is not.
func (s *groupWalk) kept(what string, got, want time.Duration) {
	s.Helper()
	if s.mini != nil && got != want || got < want-2*slow || got > want+12*2*time.Minute {
		s.Errorf("%s is kept for %v, want %v", what, got, want)
	}
}

// name gives a generation that has begun with this step the server's number.
func (s *groupWalk) name(b *generation, number int64) {
	s.Helper()
	if b.number != 0 {
		return
	}
	b.number = number
	most := max(s.last+1, s.now().UnixMicro())
	least := most
	if s.mini == nil { // it began a moment ago
		least = max(s.last+1, s.begun.UnixMicro())
	}
	if number < least || number > most {
		s.Errorf("generation %d after %d, want %d to %d", number, s.last, least, most)
	}
	s.last = number
}

// polls compares what a look says, from any of the generations on.
func (s *groupWalk) polls() {
	s.Helper()
	from := int64(0)
	if n := len(s.model.ended); n > 0 && s.rng.IntN(3) > 0 {
		from = s.model.ended[s.rng.IntN(n)].number
	}
	got, want := s.status(from), s.model.look(from)
	equal(s.T, fmt.Sprint("the look from ", from), fmt.Sprint(got), fmt.Sprint(want))
	if got.Number == s.was.Number && s.was.Remaining == 0 && got.Remaining > 0 {
		s.Errorf("generation %d goes on again", got.Number)
	}
	s.was = got
	s.trace = append(s.trace, fmt.Sprintf("  look %v", got))
}

// invariants checks what must be true whatever the model says.
func (s *groupWalk) invariants() {
	s.Helper()
	for id, n := range s.model.counted {
		if n < 0 || n > 1 {
			s.Errorf("%v has counted %d times", id, n)
		}
	}
	for id, n := range s.final {
		equal(s.T, fmt.Sprint("effect of ", id, ", which is over"), s.model.counted[id], n)
	}
}

// heard checks what was told since the schedule began: each end once.
func (s *groupWalk) heard() {
	s.Helper()
	check(s.T, s.rdb.Publish(s.Context(), "the end", "").Err())
	said, want := []string{}, []string{}
	for {
		m := must(s.sub.ReceiveMessage(s.Context()))(s.T)
		if m.Channel == "the end" {
			break
		}
		said = append(said, m.Channel+": "+m.Payload)
	}
	for _, b := range s.model.ended {
		want = append(want, s.ended(b.number, b.abandoned))
	}
	if !slices.Equal(said, want) {
		s.Errorf("told %q, want %q", said, want)
	}
	numbers := map[string]bool{}
	for _, m := range said {
		number := strings.Fields(strings.TrimPrefix(m, s.channel))[2]
		if numbers[number] {
			s.Errorf("%s was told twice", m)
		}
		numbers[number] = true
	}
}
