package redisstore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// rateRig is one bucket and the server it is on.
type rateRig struct {
	*testing.T
	*Store
	rdb   *redis.Client
	rate  float64
	burst int
}

func newRateRig(t *testing.T, rdb *redis.Client, rate float64, burst int) *rateRig {
	return &rateRig{t, must(StoreFor(rdb))(t), rdb, rate, burst}
}

func (p *rateRig) draw(id string, n int, longest time.Duration) ratelimit.Reservation {
	return ratelimit.Reservation{Key: "key", ID: id, N: n, Rate: p.rate, Burst: p.burst, MaxWait: longest}
}

func (p *rateRig) take(id string, n int, longest time.Duration) ratelimit.TakeResult {
	p.Helper()
	return must(p.Take(p.Context(), p.draw(id, n, longest)))(p.T)
}

func (p *rateRig) back(id string) { p.Helper(); check(p.T, p.Refund(p.Context(), p.draw(id, 1, 0))) }

// decided is when the script took the tokens of id, in us: its reservation says.
func (p *rateRig) decided(id string) int64 {
	p.Helper()
	var base, taken, n float64
	var act, wait int64
	record := p.rdb.Get(p.Context(), "baton:{key}:reservation:"+id).Val()
	must(fmt.Sscanf(record, "%g %g %g %d %d", &base, &taken, &n, &act, &wait))(p.T)
	return act - wait
}

// drawStep is a line of the tables of x/time/rate's tests. Times are in tenths of a
// second since the start; act is when the tokens may be used, or -1: never.
type drawStep struct {
	at, n, act int
	id         string
	back       string
}

const tenth = 100 * time.Millisecond

// draws takes the steps at their times, in the time of a bubble.
func draws(t *testing.T, rate float64, burst int, steps []drawStep) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newRateRig(t, redistest.MiniClient(t, redistest.Mini(t)), rate, burst)
		start := time.Now()
		for i, s := range steps {
			time.Sleep(time.Until(start.Add(time.Duration(s.at) * tenth)))
			if s.back != "" {
				p.back(s.back)
				continue
			}
			id, longest := s.id, ratelimit.NoMaxWait
			if id == "" {
				id = fmt.Sprint("step", i)
			}
			if s.act < 0 {
				longest = 0
			}
			got := p.take(id, s.n, longest)
			want := ratelimit.TakeResult{Taken: s.act >= 0, Wait: time.Duration(s.act-s.at) * tenth}
			if got.Taken != want.Taken || got.Taken && got.Wait != want.Wait {
				t.Errorf("step %d: %d at %d: got %v, want %v", i, s.n, s.at, got, want)
			}
		}
	})
}

// The tests of these names are x/time/rate's.

func TestSimpleReserve(t *testing.T) {
	draws(t, 10, 2, []drawStep{{at: 0, n: 2, act: 0}, {at: 0, n: 2, act: 2}, {at: 3, n: 2, act: 4}})
}

func TestMix(t *testing.T) {
	draws(t, 10, 2, []drawStep{{at: 0, n: 2, act: 0}, {at: 1, n: 2, act: -1}, {at: 1, n: 2, act: 2}, {at: 1, n: 1, act: -1}, {at: 3, n: 1, act: 3}})
}

func TestCancelLast(t *testing.T) {
	draws(t, 10, 2, []drawStep{{n: 2}, {n: 2, act: 2, id: "r"}, {at: 1, back: "r"}, {at: 1, n: 2, act: 2}})
}

// TestCancelTooLate differs from rate's: who cancels has not used its tokens,
// however late, so that they are there for the next.
func TestCancelTooLate(t *testing.T) {
	draws(t, 10, 2, []drawStep{{n: 2}, {n: 2, act: 2, id: "r"}, {at: 3, back: "r"}, {at: 3, n: 2, act: 3}, {at: 3, n: 1, act: 4}})
}

func TestCancel0Tokens(t *testing.T) {
	draws(t, 10, 2, []drawStep{{n: 2}, {n: 1, act: 1, id: "r"}, {n: 1, act: 2}, {back: "r"}, {n: 1, act: 3}})
}

func TestCancel1Token(t *testing.T) {
	draws(t, 10, 2, []drawStep{{n: 2}, {n: 2, act: 2, id: "r"}, {n: 1, act: 3}, {at: 2, back: "r"}, {at: 2, n: 2, act: 4}})
}

func TestCancelMulti(t *testing.T) {
	draws(t, 10, 4, []drawStep{{n: 4}, {n: 3, act: 3, id: "a"}, {n: 1, act: 4}, {n: 1, act: 5, id: "c"},
		{at: 1, back: "c"}, {at: 1, back: "a"}, {at: 1, n: 3, act: 5}})
}

// The two sides count on the same number.
func TestReservationRetentionIsTheSameInLuaAndInGo(t *testing.T) {
	if want := fmt.Sprintf("local RESERVATION_TTL = '%d' ", ratelimit.Retention.Milliseconds()); !strings.Contains(limitTake.text, want) {
		t.Errorf("limiter.lua does not have %q", want)
	}
}

// The keys of a reservation share a slot of a cluster.
func TestLimitSlot(t *testing.T) {
	for _, key := range []string{"key", "{tag}key", "a}b", "{}", "a{b", "{a}{b}"} {
		base, suffix, err := keyParts(key)
		check(t, err)
		equal(t, key, slot(base+"limit:id"+suffix), slot(key))
	}
}

// A return is counted once, and so is a request; one that comes after its return
// takes nothing.
func TestLimitRepeated(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := newRateRig(t, rdb, 0.001, 5)
		for range 3 {
			equal(t, "a repeated request", p.take("a", 3, 0), ratelimit.TakeResult{Taken: true})
		}
		p.take("b", 1, 0)
		for range 3 {
			p.back("b")
		}
		equal(t, "a request after its return", p.take("b", 1, 0).Taken, false)
		p.back("c")
		equal(t, "a request after its return", p.take("c", 1, 0).Taken, false)
		equal(t, "more than is left", p.take("", 3, 0).Taken, false)
		equal(t, "what is left", p.take("", 2, 0).Taken, true)

		first := p.take("w", 1, ratelimit.NoMaxWait)
		again := p.take("w", 1, 0) // though it would be too long by now
		if !again.Taken || again.Wait > first.Wait || again.Wait < first.Wait-time.Minute {
			t.Errorf("got %v, and again %v", first, again)
		}
	})
}

// A request deletes the records of finished reservations, and no other.
func TestLimitFinished(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := newRateRig(t, rdb, 1, 100)
		for _, id := range []string{"a", "b", "c"} {
			p.take(id, 1, 0)
		}
		r := p.draw("d", 1, 0)
		r.Finished = []string{"a", "c", "unknown"}
		equal(t, "taken", must(p.Take(t.Context(), r))(t).Taken, true)
		equal(t, "records of a and c", must(rdb.Exists(t.Context(), "baton:{key}:reservation:a", "baton:{key}:reservation:c").Result())(t), 0)
		equal(t, "records of b and d", must(rdb.Exists(t.Context(), "baton:{key}:reservation:b", "baton:{key}:reservation:d").Result())(t), 2)
		equal(t, "repeated", p.take("b", 1, 0).Taken, true)
		equal(t, "tokens", math.Round(must(p.InspectLimiter(t.Context(), "key"))(t).Tokens), 96.)
	})
}

// A refund needs no memory: it goes through when Redis is out of it.
func TestLimitRefundOutOfMemory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := newRateRig(t, s.Client(t), 0.001, 5)
	p.take("a", 5, 0)
	s.Do(t, "CONFIG", "SET", "maxmemory", 1)
	_, err := p.Take(t.Context(), p.draw("b", 1, ratelimit.NoMaxWait))
	expect(t, "take", err, "passing", "OOM")
	p.back("a")
	s.Do(t, "CONFIG", "SET", "maxmemory", 0)
	equal(t, "all tokens", p.take("", 5, 0).Taken, true)
}

// Inspect reads what the last use has left, and writes nothing.
func TestInspectLimiter(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := newRateRig(t, rdb, 0.01, 5)
		bucket := func() ratelimit.Bucket {
			t.Helper()
			before := snapshot(t, rdb)
			b := must(p.InspectLimiter(t.Context(), "key"))(t)
			equal(t, "what is stored", snapshot(t, rdb), before)
			b.Tokens = math.Round(b.Tokens*10) / 10
			return b
		}
		equal(t, "a full bucket", bucket(), ratelimit.Bucket{Full: true})
		p.take("", 3, 0)
		equal(t, "two are left", bucket(), ratelimit.Bucket{Rate: 0.01, Burst: 5, Tokens: 2})
		p.take("w", 4, ratelimit.NoMaxWait)
		ahead := bucket()
		if ahead.Next > 300*time.Second || ahead.Next < 290*time.Second {
			t.Errorf("the next comes in %v, want 300 s", ahead.Next)
		}
		ahead.Next = 0
		equal(t, "two are taken ahead", ahead, ratelimit.Bucket{Rate: 0.01, Burst: 5, Tokens: -2})
		check(t, rdb.Set(t.Context(), "key", fmt.Sprintf("limit %d 3 0.01 %[1]d", time.Now().UnixMicro()), time.Minute).Err())
		equal(t, "of a version without a burst", bucket().Tokens, -3.)
		check(t, rdb.Set(t.Context(), "key", "baton:1", 0).Err())
		_, err := p.InspectLimiter(t.Context(), "key")
		expect(t, "of a lock", err, "permanent", "not the state of a limiter")
	})
}

// Nothing outlives its use, and nothing is forgotten before.
func TestLimitExpiry(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := newRateRig(t, rdb, 1, 100)
		p.take("id", 60, 0)
		for key, want := range map[string]time.Duration{"key": time.Minute, "baton:{key}:reservation:id": 15 * time.Second} {
			if left := rdb.PTTL(t.Context(), key).Val(); left > want+time.Millisecond || left < want-time.Second {
				t.Errorf("%s expires in %v, want %v", key, left, want)
			}
		}
		p.back("id")
		equal(t, "a full bucket's keys", rdb.Exists(t.Context(), "key").Val(), 0)

		p = newRateRig(t, rdb, 1e12, 1)
		p.take("", 1, 0)
		if left := rdb.PTTL(t.Context(), "key").Val(); left > 2*time.Millisecond {
			t.Errorf("it expires in %v", left)
		}
		rdb.Del(t.Context(), "key")
		p = newRateRig(t, rdb, 0, 2)
		equal(t, "two at a rate of 0", p.take("", 2, 0).Taken, true)
		equal(t, "the next, ever", p.take("", 1, ratelimit.NoMaxWait).Taken, false)
		equal(t, "expires all the same", rdb.PTTL(t.Context(), "key").Val() > 0, true)
	})
}

func TestLimitExtremes(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		for _, rate := range []float64{math.SmallestNonzeroFloat64, 1e-300, 1e-9, 0.001, 0.7692307692307693, 1, 1e9, 1e300} {
			for _, burst := range []int{1, 3, 1e9, 1 << 52} {
				check(t, rdb.FlushAll(t.Context()).Err())
				p := newRateRig(t, rdb, rate, burst)
				name := fmt.Sprint(rate, " with a burst of ", burst)
				equal(t, name, p.take("", burst, 0), ratelimit.TakeResult{Taken: true})
				if rate > 1 {
					continue
				}
				equal(t, name, p.take("", 1, 0).Taken, false)
				wait := p.take("", 1, 0).Wait.Seconds()
				if want := 1 / rate; math.Abs(wait-want) > 1+want/1e9 && want < 9e9 || want > 9e9 && wait < 8.9e9 {
					t.Errorf("%s: the next in %g s, want %g", name, wait, want)
				}
			}
		}
	})
}

// A bucket that never gets full counts exactly, whatever fraction of a
// microsecond a token takes.
func TestLimitDoesNotDrift(t *testing.T) {
	m := miniredis.RunT(t)
	now := time.Unix(1_800_000_000, 0)
	m.SetTime(now)
	p := newRateRig(t, redis.NewClient(&redis.Options{Addr: m.Addr()}), 3, 1)
	defer p.rdb.Close()
	p.take("", 1, ratelimit.NoMaxWait)
	for i := 1; i <= 3000; i++ {
		got := p.take("", 1, ratelimit.NoMaxWait).Wait
		if want := time.Duration(i) * time.Second / 3; got < want || got > want+2*time.Microsecond {
			t.Fatalf("token %d comes after %v, want %v", i, got, want)
		}
	}
}

// TestLimiterJumpBackwards sets the clock back: what was taken stays taken, and
// it takes no hour until a token is there again.
func TestLimiterJumpBackwards(t *testing.T) {
	m := miniredis.RunT(t)
	now := time.Unix(1_800_000_000, 0)
	p := newRateRig(t, redis.NewClient(&redis.Options{Addr: m.Addr()}), 10, 3)
	defer p.rdb.Close()
	at := func(tenths int, n int, want bool) {
		t.Helper()
		m.SetTime(now.Add(time.Duration(tenths) * tenth))
		equal(t, fmt.Sprint(n, " at ", tenths), p.take("", n, 0).Taken, want)
	}
	at(1, 1, true)
	at(0, 1, true)
	at(0, 1, true)
	at(0, 1, false)
	at(1, 1, true)
	at(1, 1, false)
	at(-36000, 1, false) // the refusal notes the time
	at(-35999, 1, true)
	at(-35999, 1, false)
	at(-35996, 3, true)

	wait := p.take("id", 2, ratelimit.NoMaxWait).Wait
	m.SetTime(now.Add(-2 * time.Hour))
	equal(t, "a repeated wait after the jump", p.take("id", 2, ratelimit.NoMaxWait).Wait, wait)
	p.back("id") // of another clock: harmless
}

// Limiters of different rates on one key: what is taken stays taken.
func TestLimitChangedRate(t *testing.T) {
	walkTwo := func(t *testing.T) {
		m := redistest.Mini(t)
		rdb := redistest.MiniClient(t, m)
		slow, fast := newRateRig(t, rdb, 1, 10), newRateRig(t, rdb, 10, 10)
		equal(t, "slow", slow.take("", 10, 0).Taken, true)
		equal(t, "fast", fast.take("", 1, 0).Taken, false)
		time.Sleep(2 * time.Second) // two tokens, at the rate of the one that took last
		equal(t, "fast", fast.take("", 3, 0).Taken, false)
		equal(t, "fast", fast.take("", 2, 0).Taken, true)
		time.Sleep(500 * time.Millisecond)
		equal(t, "slow", slow.take("", 6, 0).Taken, false)
		equal(t, "slow", slow.take("", 5, 0).Taken, true)
		small := newRateRig(t, rdb, 1, 4)
		equal(t, "a small burst", small.take("", 1, ratelimit.NoMaxWait).Wait, 7*time.Second)
	}
	synctest.Test(t, walkTwo)
}

func TestLimitOfAnotherType(t *testing.T) {
	t.Parallel()
	redistest.EachServer(t, func(t *testing.T, rdb *redis.Client) {
		p := newRateRig(t, rdb, 1, 1)
		for _, row := range []struct {
			words string
			put   func(ctx context.Context)
		}{
			{"WRONGTYPE", func(ctx context.Context) { rdb.LPush(ctx, "key", "x") }},
			{"WRONGTYPE", func(ctx context.Context) { rdb.HSet(ctx, "key", "x", 1) }},
			{"WRONGTYPE", func(ctx context.Context) { rdb.LPush(ctx, "baton:{key}:reservation:id", "x") }},
			{"not the state of a limiter", func(ctx context.Context) { rdb.Set(ctx, "key", "baton:10000:host", 0) }},
			{"not the state of a limiter", func(ctx context.Context) { rdb.Set(ctx, "key", "limit 1 x 2 3", 0) }},
		} {
			check(t, rdb.FlushAll(t.Context()).Err())
			row.put(t.Context())
			before := fmt.Sprint(dump(t, rdb))
			_, err := p.Take(t.Context(), p.draw("id", 1, 0))
			expect(t, "take", err, "permanent", row.words)
			expect(t, "return", p.Refund(t.Context(), p.draw("id", 1, 0)), "permanent", row.words)
			equal(t, "what is stored", fmt.Sprint(dump(t, rdb)), before)
		}
	})
}

// model is GCRA as the books have it: one time, that of the bucket's fullness.
type model struct {
	interval, burst float64
	tat             float64
	epoch           int
	draws           map[string]modelDraw
}

type modelDraw struct {
	tat, n float64
	epoch  int
}

func (m *model) wait(now, n float64) float64 {
	return max(math.Ceil(max(m.tat, now)+(n-m.burst)*m.interval-now), 0)
}

func (m *model) take(id string, now, n float64) {
	if m.tat <= now {
		m.tat = now
		m.epoch++
	}
	m.tat += n * m.interval
	m.draws[id] = modelDraw{m.tat, n, m.epoch}
}

func (m *model) back(id string) {
	d, ok := m.draws[id]
	delete(m.draws, id)
	if ok && d.epoch == m.epoch {
		m.tat -= max(d.n-max((m.tat-d.tat)/m.interval, 0), 0) * m.interval
	}
}

// TestLimitModel takes and returns at random, and compares each answer with the
// model's at the earliest and the latest time that the server can have had. In real
// time miniredis lets a key expire early by what a script takes: there it is a bubble.
func TestLimitModel(t *testing.T) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			walkLimit(t, redistest.MiniClient(t, redistest.Mini(t)), time.Sleep)
		})
	})
	t.Run("redis", func(t *testing.T) {
		walkLimit(t, redistest.Start(t).Client(t), func(time.Duration) {}) // it takes its time
	})
}

func walkLimit(t *testing.T, rdb *redis.Client, pass func(time.Duration)) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, rate := range []float64{0.001, 3, 700, 8000, 30000, 1e6} {
		check(t, rdb.FlushAll(t.Context()).Err())
		p := newRateRig(t, rdb, rate, 1+rng.IntN(20))
		origin := must(rdb.Time(t.Context()).Result())(t).UnixMicro()
		m := &model{interval: 1e6 / rate, burst: float64(p.burst), draws: map[string]modelDraw{}}
		clock := func() float64 { return float64(must(rdb.Time(t.Context()).Result())(t).UnixMicro() - origin) }
		taken, refused := 0, 0
		for i := range 400 {
			// For no longer than draws are remembered.
			pass(min(time.Second, time.Duration(rng.ExpFloat64()*float64(p.burst)/4/rate*float64(time.Second))))
			if rng.IntN(4) == 0 {
				id := fmt.Sprint(i - 1 - rng.IntN(8))
				p.back(id)
				m.back(id)
				continue
			}
			n := 1 + rng.IntN(p.burst)
			longest := time.Duration(rng.Float64() * rng.Float64() * 5 * float64(time.Second) / rate * float64(p.burst))
			before := clock()
			got := p.take(fmt.Sprint(i), n, longest)
			after := clock()
			if got.Taken {
				taken++
				after = float64(p.decided(fmt.Sprint(i)) - origin)
				before = after
			} else {
				refused++
			}
			least, most := m.wait(after, float64(n)), m.wait(before, float64(n))
			wait := float64(got.Wait.Microseconds())
			if wait < least-2 || wait > most+2 {
				t.Fatalf("rate %g, burst %d, step %d: %d of %v: a wait of %g us, the model has %g to %g", rate, p.burst, i, n, longest, wait, least, most)
			}
			if got.Taken != (got.Wait.Microseconds() <= longest.Microseconds()) {
				t.Fatalf("rate %g, step %d: taken is %t, the wait is %v of at most %v", rate, i, got.Taken, got.Wait, longest)
			}
			if got.Taken {
				m.take(fmt.Sprint(i), after, float64(n))
			}
		}
		t.Logf("rate %g, burst %d: %d taken, %d refused", rate, p.burst, taken, refused)
	}
}
