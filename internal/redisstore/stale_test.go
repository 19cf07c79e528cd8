package redisstore

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// stale adds n stale waiters to the queue.
func (r *rig) stale(n int) {
	r.Helper()
	first, _ := r.rdb.ZRevRangeWithScores(r.Context(), r.queue, 0, 0).Result()
	place := 1.0
	if len(first) > 0 {
		place += first[0].Score
	}
	pipe := r.rdb.Pipeline()
	for i := range n {
		token := fmt.Sprintf("baton:10000:stale%v", place+float64(i))
		pipe.ZAdd(r.Context(), r.queue, redis.Z{Score: place + float64(i), Member: token})
		pipe.HSet(r.Context(), r.waiters, token, "1 1 1000 nowhere key")
	}
	must(pipe.Exec(r.Context()))(r.T)
}

// live lists the live waiters, and counts the stale ones.
func (r *rig) live() (tokens string, stale int) {
	for _, token := range strings.Fields(r.waiting()) {
		if strings.Contains(token, "stale") {
			stale++
			continue
		}
		tokens = strings.TrimSpace(tokens + " " + short(token))
	}
	return tokens, stale
}

// checkState checks the live waiters, and how many are stale.
func (r *rig) checkState(what, live string, stale int) {
	r.Helper()
	got, n := r.live()
	equal(r.T, what, fmt.Sprint(got, ", stale ", n), fmt.Sprint(live, ", stale ", stale))
}

// While the lock is held, waiters drop the stale waiters directly ahead of them: each poll does, and a
// newcomer at every sixteenth place.
func TestWaitersDropStaleWaitersAhead(t *testing.T) {
	eachPath(t, func(r *rig) {
		r.held(a, b)
		r.stale(14) // the next has place 16
		r.acquire(c, 1)
		r.checkState("a newcomer", "b c", 0)
		r.stale(3)
		r.acquire(d, 1)
		r.acquire(d, 2)
		r.checkState("a poll", "b c d", 0)
		r.stale(3)
		r.acquire(c, 2)
		r.checkState("a poll ahead of them", "b c d", 3)
		for n := range int64(40) {
			token := fmt.Sprint("baton:10000:stale", n)
			r.acquire(token, 1)
			r.makeStale(token)
			r.renew(a) // a busy machine may take longer for all of them
		}
		if _, stale := r.live(); stale > 16 {
			r.Errorf("%d stale waiters", stale)
		}
	})
}

// Waiters for permits do the same.
func TestPermitsDropStaleWaitersAhead(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 10)
		r.waits(b, 1)
		for i := range 70 { // one script drops fewer
			token := fmt.Sprint("baton:10000:stale", i)
			r.waits(token, 1)
			r.makeStale(token)
			r.renew(a, lockTTL) // a busy machine may take longer for all of them
		}
		r.checkState("the last newcomer", "a=10 b+1 stale69+1")
		r.waits(c, 2)
		r.waits(d, 3)
		r.makeStale(c)
		r.send(r.again(d, 2, 1, 0, 3))
		r.checkState("a poll", "a=10 b+1 d+3")
	})
}

// A release grants a batch of waiters. Its process goes on with the next batch, and if it does not, any
// other request does.
func TestPermitsOfOneReleaseInSteps(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t) // on a busy machine, miniredis takes longer than WaiterTTL for 200 requests
	r := newRig(t, s.Client(t), "key").rwMutex()
	const readers = 200
	again := func(token string, n int64) lease.Request { return r.again(token, n, 1, 0, 1) }
	keys := must(keysFor(r.name))(t)
	r.has(a, exclusive)
	var queued sync.WaitGroup
	for i := range readers {
		queued.Go(func() { r.waits(fmt.Sprint("baton:10000:r", i), 1) }) // at once, for few round trips
	}
	queued.Wait()
	r.waits(b, exclusive)
	behind := r.stored().queue[readers-1].token
	got, err := r.transport.run(t.Context(), permitsRelease, keys, []any{a, "r"}) // one script only
	check(t, err)
	equal(t, "reply", got, any(int64(3)))
	equal(t, "holds", len(r.stored().holds), 64)

	last := r.send(again(behind, 2))
	equal(t, "the last reader", outcome(last), "wait")
	equal(t, "time to its next request", last.Remaining, 0)
	equal(t, "holds", len(r.stored().holds), 2*64)
	equal(t, "a newcomer", outcome(r.state(c, 1, 0, 1)), "wait")
	equal(t, "holds", len(r.stored().holds), 3*64)
	if last = r.send(again(behind, 3)); !last.Granted {
		t.Errorf("the last reader: %+v", last)
	}
	stored := r.stored()
	equal(t, "holds in the end", len(stored.holds), readers)
	equal(t, "waiting", fmt.Sprintln(len(stored.queue), short(stored.queue[0].token), short(stored.queue[1].token)), "2 b c\n")
}

// Permits that are rebuilt in steps are correct in the end, whatever happens in between. Until then no
// waiter is granted too early.
func TestPermitsRebuiltInSteps(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t) // miniredis rebuilds all at once
	for name, lose := range map[string]func(r *permits){
		"zset lost":             func(r *permits) { check(r.T, r.rdb.Del(r.Context(), r.holders).Err()) },
		"half of the zset lost": func(r *permits) { check(r.T, r.rdb.ZRemRangeByRank(r.Context(), r.holders, 0, 200).Err()) },
		"clock set back":        func(r *permits) { r.setBack() },
		"a record lost": func(r *permits) {
			r.backdateScore("baton:10000:t7")
			check(r.T, r.rdb.HDel(r.Context(), r.lock, "baton:10000:t7").Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.Do(t, "FLUSHALL")
			r := newPermits(t, s.Client(t), semaphoreAt("key"), 10_000)
			const tokens = 400
			var n [tokens]int64
			token := func(i int) string { return fmt.Sprint("baton:10000:t", i) }
			state := func(i int, keep, want int64) lease.Reply {
				n[i]++
				return r.send(r.update(token(i), n[i], keep, want))
			}
			var granted sync.WaitGroup
			for i := range tokens {
				granted.Go(func() { equal(t, "a hold", outcome(state(i, 0, 3)), "granted") }) // at once, for few round trips
			}
			granted.Wait()
			lose(r)
			rng := rand.New(rand.NewPCG(1, 2))
			steps := 0
			for ; ; steps++ {
				now := r.stored()
				sum, latest := int64(0), r.now().Add(lockTTL).UnixMilli()
				for _, h := range now.holds {
					sum += h.weight
				}
				if now.used < sum {
					t.Fatalf("step %d: %d in use, %d held", steps, now.used, sum)
				}
				if rebuilding := len(strings.Fields(r.rdb.HGet(r.Context(), r.lock, "state").Val())) > 8; steps > 0 && !rebuilding {
					equal(t, "in use", now.used, sum)
					equal(t, "in the zset", len(now.zset), len(now.holds))
					for token, h := range now.holds {
						if h.expires > latest {
							t.Errorf("%s ends at %d, after %d", token, h.expires, latest)
						}
					}
					break
				}
				i := rng.IntN(tokens)
				has := now.holds[token(i)].weight
				switch rng.IntN(5) {
				case 0:
					r.release(token(i))
				case 1:
					state(i, min(has, 1), 0)
				case 2:
					state(i, has, 2)
				case 3:
					r.has(fmt.Sprint("baton:10000:new", steps), 4)
				case 4:
					if has > 0 {
						r.setEnd(token(i), -time.Millisecond)
					}
				}
			}
			if steps < 5 {
				t.Errorf("rebuilt in %d steps", steps)
			}
		})
	}
}
