package redisstore

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

var (
	diffSeed  = flag.Uint64("diff.seed", 0, "start TestServersAgree, or TestFastPathsAgree, with this sequence")
	diffSteps = flag.Int("diff.steps", 2000, "steps of TestServersAgree and TestFastPathsAgree")
)

// TestServersAgree runs the same random calls against miniredis and Redis: what
// the fast tests see on the one is what users get on the other. On the way it
// checks what must hold: no request and no release leaves the lock free while a
// live waiter is queued, and every new owner has a larger fence.
func TestServersAgree(t *testing.T) {
	t.Parallel()
	mini, server := redistest.MiniClient(t, redistest.Mini(t)), redistest.Start(t).Client(t)
	walks(t, func(key string) [2]*rig { return [2]*rig{newRig(t, mini, key), newRig(t, server, key)} }, nil)
}

// TestFastPathsAgree compares what mutex_acquire.lua and mutex_release.lua do in short for what is
// common with what their includes do for everything.
func TestFastPathsAgree(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	walks(t, func(key string) [2]*rig {
		short, long := newRig(t, rdb, key+":short"), newRig(t, rdb, key+":long")
		long.long = true
		return [2]*rig{short, long}
	}, func(rigs [2]*rig) (differ string) {
		pipe := rdb.Pipeline()
		var left [2][]*redis.DurationCmd
		for i, r := range rigs {
			for _, key := range []string{r.lock, r.queue, r.waiters, r.fence} {
				left[i] = append(left[i], pipe.PTTL(r.Context(), key))
			}
		}
		_, _ = pipe.Exec(t.Context())
		for i, a := range left[0] {
			if b := left[1][i]; (a.Val() - b.Val()).Abs() > time.Second {
				differ += fmt.Sprintf("%v; and the long way: %v; ", a, b)
			}
		}
		return differ
	})
}

// walks compares two locks on random walks.
func walks(t *testing.T, rigsAt func(key string) [2]*rig, differ func([2]*rig) string) {
	const length = 100 // of a sequence: no entry of it may die of old age
	seed := *diffSeed
	if seed == 0 {
		seed = rand.Uint64() >> 16
	}
	for steps := 0; steps < *diffSteps && !t.Failed(); steps += length {
		seed := seed + uint64(steps)
		compare(t, rigsAt(fmt.Sprint("key", seed)), differ, seed, length)
	}
}

func compare(t *testing.T, rigs [2]*rig, differ func([2]*rig) string, seed uint64, length int) {
	start := time.Now()
	w := &walk{rng: rand.New(rand.NewPCG(seed, 0))}
	for range length {
		step := w.next()
		var saw [2]string
		for i, r := range rigs {
			saw[i] = step.call(r) + "; " + state(r, &w.holds[i], step.fills)
		}
		w.trace = append(w.trace, step.name+": "+saw[0])
		if time.Since(start) > lease.WaiterTTL/2 {
			t.Logf("seed %d: too slow to compare further", seed)
			return
		}
		if saw[0] != saw[1] {
			t.Errorf("and the other: %s", saw[1])
		}
		// Each has counted its TTLs from some step of this walk on.
		if a, b := rigs[0].left, rigs[1].left; (a - b).Abs() > time.Since(start)+time.Millisecond {
			t.Errorf("%v are left to the owner, and by the other %v", a, b)
		}
		if differ != nil {
			if what := differ(rigs); what != "" {
				t.Error(what)
			}
		}
		if t.Failed() {
			t.Fatalf("run again with -diff.seed %d\n%s", seed, strings.Join(w.trace, "\n"))
		}
	}
}

// walk makes the calls of four processes, each with a claim at a time.
type walk struct {
	rng    *rand.Rand
	tokens [4]string
	n      [4]int64
	serial int
	sent   []step // for repetitions, and copies that are late
	trace  []string
	holds  [2]hold
}

type step struct {
	name  string
	fills bool // a free lock
	call  func(*rig) string
}

// hold is what a server said of its lock last.
type hold struct {
	owner string
	fence int64
}

func (w *walk) token() string {
	w.serial++
	return fmt.Sprint("baton:10000:host:1:process:", w.serial, []string{"", "!", "~"}[w.serial%3])
}

func (w *walk) next() step {
	p := w.rng.IntN(len(w.tokens))
	if w.tokens[p] == "" {
		w.tokens[p] = w.token()
	}
	token, other := w.tokens[p], w.tokens[w.rng.IntN(len(w.tokens))]
	var s step
	switch x := w.rng.IntN(100); {
	case x < 30:
		w.n[p]++
		n := w.n[p]
		s = step{fmt.Sprint("ask ", token, " ", n), true, func(r *rig) string {
			reply := r.acquire(token, n)
			return fmt.Sprint(outcome(reply), reply.Contended, reply.MayLinger)
		}}
	case x < 36:
		s = step{"try " + token, true, func(r *rig) string { return outcome(r.acquire(token, 0)) }}
	case x < 52:
		w.tokens[p] = w.token()
		to, n := w.tokens[p], int64(w.rng.IntN(3))
		w.n[p] = n
		s = step{fmt.Sprint("yield ", token, " to ", to, " ", n), false, func(r *rig) string { return outcome(r.yield(token, to, n)) }}
	case x < 68:
		s = step{"release " + token, true, func(r *rig) string { return fmt.Sprint(r.release(token)) }}
		if w.rng.IntN(2) == 0 {
			w.tokens[p], w.n[p] = "", 0
		}
	case x < 74:
		s = step{"renew " + token, false, func(r *rig) string { return fmt.Sprint(r.renew(token)) }}
	case x < 86 && len(w.sent) > 0:
		s = w.sent[w.rng.IntN(len(w.sent))]
		s.name = "again " + s.name
		return s
	case x < 90:
		return step{"expire", false, func(r *rig) string { r.expires(); return "" }}
	case x < 94:
		return step{"dies " + other, false, func(r *rig) string {
			if r.rdb.HExists(r.Context(), r.waiters, other).Val() {
				r.dies(other)
			}
			return ""
		}}
	case x < 96:
		return step{"foreign owner", false, func(r *rig) string {
			return fmt.Sprint(r.rdb.SetNX(r.Context(), r.lock, "hand-written", time.Minute).Val())
		}}
	case x < 98:
		return step{"lose the fence", false, func(r *rig) string { r.rdb.Del(r.Context(), r.fence); return "" }}
	default:
		return step{"flush scripts", false, func(r *rig) string { return r.rdb.ScriptFlush(r.Context()).Val() }}
	}
	w.sent = append(w.sent, s)
	return s
}

// state is what the server stores for the lock, without times, and checks it.
func state(r *rig, was *hold, filled bool) string {
	r.Helper()
	pipe := r.rdb.Pipeline()
	owner, fence := pipe.Get(r.Context(), r.lock), pipe.Get(r.Context(), r.fence)
	waiting, waiters := pipe.ZRange(r.Context(), r.queue, 0, -1), pipe.HGetAll(r.Context(), r.waiters)
	_, _ = pipe.Exec(r.Context()) // what is not there is an error, too
	base, _ := fence.Int64()
	now, entries := hold{owner.Val(), base}, waiters.Val()
	if ours := strings.HasPrefix(now.owner, "baton:"); ours && now.owner != was.owner && now.fence <= was.fence {
		r.Errorf("%s has fence %d, and before it %s had %d", now.owner, now.fence, was.owner, was.fence)
	}
	list := []string{}
	for _, token := range waiting.Val() {
		seen, rest, _ := strings.Cut(entries[token], " ")
		rest, named := strings.CutSuffix(rest, " "+r.lock)
		if !named {
			r.Errorf("the entry of %s does not name the key: %q", token, rest)
		}
		list = append(list, token+"="+rest)
		if filled && now.owner == "" && seen > fmt.Sprint(r.now().UnixMilli()-lease.WaiterTTL.Milliseconds()) {
			r.Errorf("%s waits for a free lock", token)
		}
	}
	if len(entries) != len(list) {
		r.Errorf("%d entries for %q", len(entries), list)
	}
	was.owner, was.fence = now.owner, max(now.fence, was.fence)
	return fmt.Sprintf("%s, then %q", now.owner, list)
}
