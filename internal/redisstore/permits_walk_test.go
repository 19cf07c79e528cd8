package redisstore

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

var (
	permitsSeed  = flag.Uint64("permits.seed", 0, "start TestPermitsModel with this schedule")
	permitsSteps = flag.Int("permits.steps", 20000, "steps of TestPermitsModel on Redis, for each kind")
)

// TestPermitsModel runs random schedules of what processes can say, and of what
// can befall them and the keys, against the model: after each step the reply,
// the messages, and all that the server stores must be the model's.
func TestPermitsModel(t *testing.T) {
	t.Parallel()
	const length = 20 // of a schedule: no entry of it may die of old age
	for _, kind := range []lease.Kind{lease.Semaphore, lease.RWMutex} {
		for _, server := range []string{"miniredis", "redis"} {
			t.Run(fmt.Sprintf("%c on %s", kind, server), func(t *testing.T) {
				t.Parallel()
				var rdb *redis.Client
				steps := *permitsSteps
				if server == "redis" {
					rdb = redistest.Start(t).Client(t)
				} else {
					rdb, steps = redistest.MiniClient(t, redistest.Mini(t)), steps/20 // it compiles a script for each call
				}
				sub := rdb.PSubscribe(t.Context(), "*")
				defer sub.Close()
				must(sub.Receive(t.Context()))(t)
				seed := *permitsSeed
				if seed == 0 {
					seed = rand.Uint64() >> 16
				}
				done, seen := 0, map[string]int{}
				for ; done < steps && !t.Failed(); done += length {
					s := newSchedule(t, rdb, sub, kind, seed+uint64(done))
					s.run(length)
					for what, n := range s.seen {
						seen[what] += n
					}
				}
				t.Logf("%d schedules from seed %d: %v", done/length, seed, seen)
			})
		}
	}
}

// schedule is one random walk of five processes.
type schedule struct {
	*permits
	rng   *rand.Rand
	sub   *redis.PubSub
	seed  uint64
	model *permitsModel

	tokens [5]string
	n      [5]int64
	serial int
	sent   []move
	trace  []string

	was  storedPermits
	last int64 // fence base given
	seen map[string]int

	granted string // by the reply to this step, with this base
	base    int64
	since   int64 // it trusts in that at least until then
}

// move is a step: what is done to the server, and to the model.
type move struct {
	name string
	do   func() (server, model string)
}

func newSchedule(t *testing.T, rdb *redis.Client, sub *redis.PubSub, kind lease.Kind, seed uint64) *schedule {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, uint64(kind))), sub: sub, seed: seed, seen: map[string]int{}}
	size := int64(lease.ExclusiveWeight)
	if kind == lease.Semaphore {
		size = 1 + s.rng.Int64N(10)
	}
	name := lease.Name{Kind: kind, Key: fmt.Sprint("key ", seed)}
	s.permits = newPermits(t, rdb, name, size)
	s.model = &permitsModel{name: name, holds: map[string]*held{}}
	for p := range s.tokens {
		s.renewToken(p)
	}
	return s
}

func (s *schedule) renewToken(p int) {
	s.serial++
	s.tokens[p], s.n[p] = fmt.Sprintf("baton:10000:%c%d", 'a'+p, s.serial), 0
}

func (s *schedule) run(length int) {
	start := time.Now()
	s.was = s.stored()
	for range length {
		m := s.next()
		s.granted = ""
		saw, want := m.do()
		now, said := s.inspect()
		if time.Since(start) > lease.WaiterTTL/2 {
			s.Logf("seed %d: too slow to compare further", s.seed)
			return
		}
		s.seen[strings.Fields(strings.TrimPrefix(m.name, "again "))[0]+" "+strings.Fields(saw + " -")[0]]++
		s.trace = append(s.trace, fmt.Sprintf("%-60s %s; %v; %v", m.name, want, s.model, s.model.told))
		if saw != want {
			s.Errorf("the server says %q, the model %q", saw, want)
		}
		s.compare(now, said)
		s.invariants(now)
		s.was = now
		if s.Failed() {
			s.Fatalf("run again with -permits.seed %d\n%s", s.seed, strings.Join(s.trace, "\n"))
		}
	}
	if s.rng.IntN(20) == 0 {
		check(s.T, s.rdb.ScriptFlush(s.Context()).Err())
	}
}

// inspect returns what is stored, and what was published since the last look.
func (s *schedule) inspect() (now storedPermits, said []string) {
	s.Helper()
	pipe := s.rdb.Pipeline()
	read := s.read(pipe)
	pipe.Publish(s.Context(), "the end", "")
	must(pipe.Exec(s.Context()))(s.T)
	for {
		m := must(s.sub.ReceiveMessage(s.Context()))(s.T)
		if m.Channel == "the end" {
			return read(), said
		}
		said = append(said, m.Channel+": "+m.Payload)
	}
}

// compare checks what is stored, but for what has run out, and what was said.
func (s *schedule) compare(now storedPermits, said []string) {
	s.Helper()
	got := &permitsModel{size: now.size, declared: now.declared, holds: map[string]*held{}}
	ms := time.Now().UnixMilli()
	for token, h := range now.holds {
		if h.expires > ms {
			got.holds[token] = &held{weight: h.weight, seen: h.seq, order: h.wantSeq, given: h.granted, shared: h.shared}
		}
	}
	for _, e := range now.queue {
		q := lease.Request{Token: e.token, Want: e.weight, Seq: e.seq, WantSeq: e.wantSeq, WantShared: e.shared}
		if e.seq > 0 && now.ttl[3] > 0 { // else its half of the record is lost
			got.queue = append(got.queue, &place{Request: q})
		}
	}
	if got.String() != s.model.String() {
		s.Errorf("the server stores %v", got)
	}
	want := []string{}
	for _, m := range s.model.told {
		base, key := now.holds[m.token].base, s.main
		if m.n == 0 {
			base, key = 0, "-"
		}
		flag := 0
		if s.model.noted > 0 {
			flag = 1
		}
		want = append(want, fmt.Sprintf("%s: %c %d %d %d %d %d %s %s", m.channel, s.name.Kind, m.n, m.order, base, m.weight, flag, m.token, key))
	}
	slices.Sort(want) // words come in any order, grants have theirs by their bases
	slices.Sort(said)
	if !slices.Equal(said, want) {
		s.Errorf("published %q, want %q", said, want)
	}
}

// invariants checks what must be true of any fair lock, whatever the model says.
func (s *schedule) invariants(now storedPermits) {
	s.Helper()
	if h := now.holds[s.granted]; s.granted != "" && (h.base != s.base || h.expires < s.since) {
		s.Errorf("%s was told of base %d and counts on it until %d: %+v", s.granted, s.base, s.since, h)
	}
	sum, was := int64(0), int64(0)
	for _, h := range s.was.holds {
		was += h.weight
	}
	granted := []record{}
	for token, h := range now.holds {
		sum += h.weight
		if h.base != s.was.holds[token].base {
			granted = append(granted, h)
		}
		if s.model.acted && h.expires > time.Now().UnixMilli()+h.ttl {
			s.Errorf("%s holds for longer than its TTL", token)
		}
		if score, ok := now.zset[token]; ok && int64(score) > h.expires || !ok && s.model.acted {
			s.Errorf("%s ends at %d, and in the zset at %v", token, h.expires, score)
		}
	}
	if sum != now.used || sum > max(now.size, was) {
		s.Errorf("%d are held, %d in use, of %d", sum, now.used, now.size)
	}
	slices.SortFunc(granted, func(a, b record) int { return int(a.base - b.base) })
	ahead := func(r record) int { // places before it
		i := slices.IndexFunc(s.was.queue, func(e record) bool { return e.token == r.token && e.wantSeq == r.wantSeq })
		if i < 0 {
			i = len(s.was.queue)
		}
		return i
	}
	for i, h := range granted {
		if h.base <= s.last {
			s.Errorf("%s has base %d after %d", h.token, h.base, s.last)
		}
		s.last = h.base
		if i > 0 && ahead(h) < ahead(granted[i-1]) {
			s.Errorf("%s was let in after %s", h.token, granted[i-1].token)
		}
		for _, e := range now.queue {
			if ahead(e) < ahead(h) {
				s.Errorf("%s has overtaken %s", h.token, e.token)
			}
		}
	}
	if s.model.acted && len(now.queue) > 0 && now.queue[0].weight <= now.size-now.used {
		s.Errorf("%s could be let in", now.queue[0].token)
	}
	for i, ttl := range now.ttl {
		least := -2 * time.Nanosecond // no such key
		if ttl != least && (ttl <= 0 || i < 2 && ttl < lockTTL || i >= 2 && ttl > lease.WaiterTTL) {
			s.Errorf("key %d expires in %v", i+1, ttl)
		}
	}
}

// answered is a reply without times, which are checked here.
func (s *schedule) answered(q lease.Request) string {
	s.Helper()
	s.since = time.Now().Add(lockTTL).UnixMilli()
	got, err := s.Acquire(s.Context(), q)
	if err != nil {
		return class(err) + " " + strings.TrimPrefix(err.Error(), "baton: ")
	}
	if got.Granted {
		s.granted = q.Token
		s.base = got.FenceBase
	}
	if got.Remaining > 2*lockTTL || got.Remaining < -time.Millisecond {
		s.Errorf("reply %+v", got)
	}
	got.FenceBase, got.Remaining = 0, 0
	return verdict(got)
}

func verdict(r lease.Reply) string {
	return fmt.Sprintf("%s has %d given %d awaited %t", outcome(r), r.Weight, r.GrantedNow, r.Contended)
}

// holders are those who hold something, in the model.
func (s *schedule) holding() []string { return slices.Sorted(maps.Keys(s.model.holds)) }

func (s *schedule) waiting() []string {
	list := []string{}
	for _, p := range s.model.queue {
		list = append(list, p.Token)
	}
	return list
}
