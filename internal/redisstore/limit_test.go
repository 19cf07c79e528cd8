package redisstore

import (
	"cmp"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/ratelimit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// rateRig is one token bucket and its server.
type rateRig struct {
	*rig
	rate  float64
	burst int
}

func newRateRig(t *testing.T, rdb *redis.Client, rate float64, burst int) *rateRig {
	return &rateRig{newRig(t, rdb, "key"), rate, burst}
}

func eachLimiter(t *testing.T, rate float64, burst int, f func(p *rateRig)) {
	eachServer(t, func(r *rig) { f(&rateRig{r, rate, burst}) })
}

func (p *rateRig) reservation(id string, n int, maxWait time.Duration) ratelimit.Reservation {
	return ratelimit.Reservation{Key: p.lock, ID: id, N: n, Rate: p.rate, Burst: p.burst, MaxWait: maxWait}
}

func (p *rateRig) take(id string, n int, maxWait time.Duration) ratelimit.TakeResult {
	p.Helper()
	return must(p.Take(p.Context(), p.reservation(id, n, maxWait)))(p.T)
}

func (p *rateRig) refund(id string) {
	p.Helper()
	check(p.T, p.Refund(p.Context(), p.reservation(id, 1, 0)))
}

// reserveStep is a line of the tables in the tests of x/time/rate. Times are in tenths of a second since
// the start. act is when the tokens may be used, or -1 for never.
type reserveStep struct {
	at, n, act int
	id         string
	refund     string
}

const tenth = 100 * time.Millisecond

// TestReserve has the tables of the tests of x/time/rate with these names. CancelTooLate differs, because
// here a late cancellation still refunds the unused tokens.
func TestReserve(t *testing.T) {
	for name, steps := range map[string][]reserveStep{
		"SimpleReserve": {{n: 2}, {n: 2, act: 2}, {at: 3, n: 2, act: 4}},
		"Mix":           {{n: 2}, {at: 1, n: 2, act: -1}, {at: 1, n: 2, act: 2}, {at: 1, n: 1, act: -1}, {at: 3, n: 1, act: 3}},
		"CancelLast":    {{n: 2}, {n: 2, act: 2, id: "r"}, {at: 1, refund: "r"}, {at: 1, n: 2, act: 2}},
		"CancelTooLate": {{n: 2}, {n: 2, act: 2, id: "r"}, {at: 3, refund: "r"}, {at: 3, n: 2, act: 3}, {at: 3, n: 1, act: 4}},
		"Cancel0Tokens": {{n: 2}, {n: 1, act: 1, id: "r"}, {n: 1, act: 2}, {refund: "r"}, {n: 1, act: 3}},
		"Cancel1Token":  {{n: 2}, {n: 2, act: 2, id: "r"}, {n: 1, act: 3}, {at: 2, refund: "r"}, {at: 2, n: 2, act: 4}},
		"CancelMulti": {{n: 4}, {n: 3, act: 3, id: "a"}, {n: 1, act: 4}, {n: 1, act: 5, id: "c"}, {at: 1, refund: "c"}, {at: 1, refund: "a"},
			{at: 1, n: 3, act: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newRateRig(t, redistest.BubbleClient(t), 10, steps[0].n) // the first step takes the whole burst
				start := time.Now()
				for i, s := range steps {
					time.Sleep(time.Until(start.Add(time.Duration(s.at) * tenth)))
					if s.refund != "" {
						p.refund(s.refund)
						continue
					}
					maxWait := ratelimit.NoMaxWait
					if s.act < 0 {
						maxWait = 0
					}
					got := p.take(cmp.Or(s.id, fmt.Sprint("step", i)), s.n, maxWait)
					if got.Taken != (s.act >= 0) || got.Taken && got.Wait != time.Duration(s.act-s.at)*tenth {
						t.Errorf("step %d, %d tokens at %d: got %v, want act %d", i, s.n, s.at, got, s.act)
					}
				}
			})
		})
	}
}

// A refund and a request count once. A request that arrives after its refund takes no tokens.
func TestLimitRepeated(t *testing.T) {
	eachLimiter(t, 0.001, 5, func(p *rateRig) {
		t := p.T
		for range 3 {
			equal(t, "a repeated request", p.take("a", 3, 0), ratelimit.TakeResult{Taken: true})
		}
		p.take("b", 1, 0)
		for range 3 {
			p.refund("b")
		}
		equal(t, "a request after its refund", p.take("b", 1, 0).Taken, false)
		p.refund("c")
		equal(t, "a request after its refund", p.take("c", 1, 0).Taken, false)
		equal(t, "more than the rest", p.take("", 3, 0).Taken, false)
		equal(t, "the rest", p.take("", 2, 0).Taken, true)

		first := p.take("w", 1, ratelimit.NoMaxWait)
		again := p.take("w", 1, 0) // a new request would exceed this MaxWait
		equal(t, "taken again", again.Taken, true)
		p.remains("again", again.Wait, first.Wait)
	})
}

// A request deletes the records of finished reservations, and no other.
func TestLimitFinished(t *testing.T) {
	eachLimiter(t, 0.001, 100, func(p *rateRig) {
		t, rdb := p.T, p.rdb
		for _, id := range []string{"a", "b", "c"} {
			p.take(id, 1, 0)
		}
		d := p.reservation("d", 1, 0)
		d.Finished = []string{"a", "c", "unknown"}
		equal(t, "taken", must(p.Take(t.Context(), d))(t).Taken, true)
		keys := sorted(rdb.Keys(t.Context(), "baton:*").Val()...)
		equal(t, "records", fmt.Sprint(keys), "[baton:{key}:reservation:b baton:{key}:reservation:d]")
		equal(t, "repeated", p.take("b", 1, 0).Taken, true)
		equal(t, "tokens", math.Round(must(p.InspectLimiter(t.Context(), "key"))(t).Tokens), 96.)

		check(t, rdb.Set(t.Context(), "key", fmt.Sprintf("limit %d 3 0.001 %[1]d", p.now().UnixMicro()), time.Minute).Err())
		p.unchanged("InspectLimiter", func() {
			equal(t, "tokens by a version that stored no burst", math.Round(must(p.InspectLimiter(t.Context(), "key"))(t).Tokens), -3.)
		})
	})
}

// Keys expire when they are no longer needed, and not before.
func TestLimitExpiry(t *testing.T) {
	eachLimiter(t, 1, 100, func(p *rateRig) {
		t, rdb := p.T, p.rdb
		p.take("id", 60, 0)
		for key, want := range map[string]time.Duration{"key": time.Minute, "baton:{key}:reservation:id": 15 * time.Second} {
			p.remains(key, p.pttl(key)-time.Millisecond, want)
		}
		p.refund("id")
		equal(t, "a full bucket's keys", rdb.Exists(t.Context(), "key").Val(), 0)

		p = newRateRig(t, rdb, 1e12, 1)
		p.take("", 1, 0)
		if left := rdb.PTTL(t.Context(), "key").Val(); left > 2*time.Millisecond {
			t.Errorf("the key expires in %v", left)
		}
		rdb.Del(t.Context(), "key")
		p = newRateRig(t, rdb, 0, 2)
		equal(t, "two at a rate of 0", p.take("", 2, 0).Taken, true)
		equal(t, "a third at a rate of 0", p.take("", 1, ratelimit.NoMaxWait).Taken, false)
		equal(t, "the key expires", rdb.PTTL(t.Context(), "key").Val() > 0, true)
	})
}

func TestLimitExtremes(t *testing.T) {
	eachServer(t, func(r *rig) {
		t, rdb := r.T, r.rdb
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
					t.Errorf("%s: the next token in %g s, want %g", name, wait, want)
				}
			}
		}
	})
}

// A bucket that is never full counts exactly, also if a token takes a fraction of a microsecond.
func TestLimitDoesNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newRateRig(t, redistest.BubbleClient(t), 3, 1)
		p.take("", 1, ratelimit.NoMaxWait)
		for i := 1; i <= 500; i++ {
			time.Sleep(tenth)
			got := p.take("", 1, ratelimit.NoMaxWait).Wait
			if want := time.Duration(i) * (time.Second/3 - tenth); got < want || got > want+2*time.Microsecond {
				t.Fatalf("token %d comes after %v, want %v", i, got, want)
			}
		}
	})
}

// TestLimiterJumpBackwards sets the clock back by an hour. Taken tokens stay taken, and the next token
// does not take an hour.
func TestLimiterJumpBackwards(t *testing.T) {
	m, now := redistest.Mini(t), time.Unix(1_800_000_000, 0)
	m.ClockTTL(false) // keys do not expire
	p := newRateRig(t, redistest.MiniClient(t, m), 10, 3)
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
	at(-36000, 1, false) // the refusal stores the time
	at(-35999, 1, true)
	at(-35999, 1, false)
	at(-35996, 3, true)

	wait := p.take("id", 2, ratelimit.NoMaxWait).Wait
	m.SetTime(now.Add(-2 * time.Hour))
	equal(t, "a repeated wait after the jump", p.take("id", 2, ratelimit.NoMaxWait).Wait, wait)
	p.refund("id") // taken before the jump: harmless
}

// Limiters with different rates use one key. Taken tokens stay taken.
func TestLimitChangedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.BubbleClient(t)
		slow, fast := newRateRig(t, rdb, 1, 10), newRateRig(t, rdb, 10, 10)
		equal(t, "slow", slow.take("", 10, 0).Taken, true)
		equal(t, "fast", fast.take("", 1, 0).Taken, false)
		time.Sleep(2 * time.Second) // two tokens, at the rate of the last successful request
		equal(t, "fast", fast.take("", 3, 0).Taken, false)
		equal(t, "fast", fast.take("", 2, 0).Taken, true)
		time.Sleep(500 * time.Millisecond)
		equal(t, "slow", slow.take("", 6, 0).Taken, false)
		equal(t, "slow", slow.take("", 5, 0).Taken, true)
		small := newRateRig(t, rdb, 1, 4)
		equal(t, "a small burst", small.take("", 1, ratelimit.NoMaxWait).Wait, 7*time.Second)
	})
}
