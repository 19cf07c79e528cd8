package redisstore

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestAcquireTakesAFreeLock(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		before := r.now()
		got := r.acquire(a, 1)
		if after := r.now(); got.FenceBase < before.UnixMicro() || got.FenceBase > after.UnixMicro() {
			r.Errorf("base %d is not the server's time, %d to %d", got.FenceBase, before.UnixMicro(), after.UnixMicro())
		}
		equal(t, "reply", got, lease.Reply{Granted: true, FenceBase: got.FenceBase, Weight: 1, GrantedNow: 1, Remaining: lockTTL})
		equal(t, "owner", r.owner(), a)
		equal(t, "fence", r.last(), got.FenceBase)
		r.expiry(r.lock, lockTTL)
		equal(t, "keys", r.rdb.DBSize(r.Context()).Val(), 2) // no entry for an owner
	})
}

// A lost reply is answered by asking again, so that must change nothing but the TTL.
func TestAcquireByTheOwnerRenews(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		first := r.acquire(a, 0)
		r.acquire(b, 1)
		first.Contended = true
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("asking again", func() { equal(t, "reply", r.acquire(a, 2), first) })
		r.expiry(r.lock, lockTTL)
	})
}

func TestAcquireOfAHeldLock(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		r.held(a)
		r.unchanged("a try", func() {
			got := r.acquire(b, 0)
			if got.Remaining > lockTTL || got.Remaining < lockTTL-2*time.Second {
				r.Errorf("%v left to the owner", got.Remaining)
			}
			equal(t, "reply", got, lease.Reply{Remaining: got.Remaining})
		})

		r.acquire(b, 1)
		r.acquire(c, 1)
		r.acquire(b, 7)
		equal(t, "the queue after a refresh", r.waiting(), b+" "+c)
		entry := r.rdb.HGet(r.Context(), r.waiters, b).Val()
		if !regexp.MustCompile(`^\d{13} 7 3600 to:` + b + ` key$`).MatchString(entry) {
			r.Errorf("entry %q", entry)
		}
		for _, key := range []string{r.queue, r.waiters} {
			check(r.T, r.rdb.PExpire(r.Context(), key, time.Second).Err())
			r.acquire(c, 2)
			r.expiry(key, lease.WaiterTTL)
		}
		r.unchanged("a try by one who waits", func() { r.acquire(b, 0) })
	})
}

// The two sides of the protocol count on the same number.
func TestWaiterTTLIsTheSameInLuaAndInGo(t *testing.T) {
	want := fmt.Sprintf("local WAITER_TTL = '%d' ", lease.WaiterTTL.Milliseconds())
	for _, s := range []*script{acquire, yield, release} {
		if !strings.Contains(s.text, want) {
			t.Errorf("lib/limits.lua does not have %q", want)
		}
	}
}

func TestReleaseHandsOverInTurn(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		order := []string{a, b, c, d, e}
		r.held(order[0], order[1:]...)
		for n := range int64(3) {
			r.acquire(d, n+2) // refreshing is no way forward
		}
		for i, token := range order {
			said := r.published(func() { equal(t, "owned", r.release(token), true) })
			if i == len(order)-1 {
				equal(t, "messages to nobody", len(said), 0)
				break
			}
			next, n := order[i+1], 1
			if next == d {
				n = 4
			}
			equal(t, "the owner after "+token, r.owner(), next)
			others := 0
			if len(order) > i+2 {
				others = 1
			}
			want := fmt.Sprintf("%s: m %d 0 %d 1 %d %s key", channelOf(next), n, r.last(), others, next)
			if !slices.Equal(said, []string{want}) {
				r.Errorf("published %q, want %q once", said, want)
			}
			r.expiry(r.lock, grantTTL)
			equal(t, "the queue", r.waiting(), strings.Join(order[i+2:], " "))
			equal(t, "entries", r.rdb.HLen(r.Context(), r.waiters).Val(), int64(len(order)-i-2))
		}
		equal(t, "keys in the end", fmt.Sprint(r.rdb.Keys(r.Context(), "*").Val()), "["+r.fence+"]")
	})
}

// The waiter says how long a hand-over is to be: a short lease gets no long grant.
func TestHandOverGivesTheWaitersGrant(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		r.held(a)
		q := r.request(b, 1)
		q.TTL, q.HandoverTTL = 900*time.Millisecond, 900*time.Millisecond
		must(r.Acquire(r.Context(), q))(r.T)
		r.release(a)
		r.expiry(r.lock, q.HandoverTTL)
	})
}

// Whatever could let somebody in does so in the same script: nobody else will.
// Each row starts with a held, b and c queued.
func TestNoScriptLeavesALockFreeWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	free := func(r *rig) { r.expires() }
	for _, row := range []struct {
		name           string
		before, do     func(r *rig)
		owner, waiting string
	}{
		{"release", nil, func(r *rig) { r.release(a) }, b, c},
		{"yield", nil, func(r *rig) { r.yield(a, d, 1) }, b, c + " " + d},
		{"release of an expired lock", free, func(r *rig) { equal(r.T, "owned", r.release(a), false) }, b, c},
		{"release by a stranger of a free lock", free, func(r *rig) { r.release(e) }, b, c},
		{"the first leaves a free lock", free, func(r *rig) { equal(r.T, "owned", r.release(b), false) }, c, ""},
		{"the second leaves a free lock", free, func(r *rig) { r.release(c) }, b, ""},
		{"a try on a free lock", free, func(r *rig) { equal(r.T, "try", outcome(r.acquire(e, 0)), "wait") }, b, c},
		{"a newcomer on a free lock", free, func(r *rig) { equal(r.T, "newcomer", outcome(r.acquire(e, 1)), "wait") }, b, c + " " + e},
		{"the first asks for a free lock", free, func(r *rig) { equal(r.T, "first", outcome(r.acquire(b, 2)), "granted") }, b, c},
		{"the first tries a free lock", free, func(r *rig) { equal(r.T, "first", outcome(r.acquire(b, 0)), "granted") }, b, c},
		{"the second asks for a free lock", free, func(r *rig) { equal(r.T, "second", outcome(r.acquire(c, 2)), "wait") }, b, c},
		{"the owner asks for its expired lock", free, func(r *rig) { equal(r.T, "owner", outcome(r.acquire(a, 2)), "wait") }, b, c + " " + a},

		{"the first leaves a held lock", nil, func(r *rig) { equal(r.T, "owned", r.release(b), false) }, a, c},
		{"the second leaves a held lock", nil, func(r *rig) { r.release(c) }, a, b},
		{"a stranger releases a held lock", nil, func(r *rig) { equal(r.T, "owned", r.release(e), false) }, a, b + " " + c},

		{"the first is dead at a release", func(r *rig) { r.dies(b) }, func(r *rig) { r.release(a) }, c, ""},
		{"the second is dead at a release", func(r *rig) { r.dies(c) }, func(r *rig) { r.release(a) }, b, c},
		{"the first is dead at a yield", func(r *rig) { r.dies(b) }, func(r *rig) { r.yield(a, d, 1) }, c, d},
		{"all are dead at a yield", func(r *rig) { r.dies(b); r.dies(c) },
			func(r *rig) { equal(r.T, "yield", outcome(r.yield(a, d, 1)), "granted") }, d, ""},
		{"the first is dead on a free lock", func(r *rig) { r.dies(b); r.expires() }, func(r *rig) { r.acquire(e, 1) }, c, e},
		{"all are dead on a free lock", func(r *rig) { r.dies(b); r.dies(c); r.expires() },
			func(r *rig) { equal(r.T, "newcomer", outcome(r.acquire(e, 1)), "granted") }, e, ""},
		{"one that was dead asks again", func(r *rig) { r.dies(b); r.acquire(b, 2) }, func(r *rig) { r.release(a) }, b, c},
		{"one that was dead is first and asks", func(r *rig) { r.dies(b); r.expires() },
			func(r *rig) { equal(r.T, "dead", outcome(r.acquire(b, 2)), "granted") }, b, c},
		{"an entry is seen in the future", func(r *rig) { r.seen(b, r.now().Add(time.Hour).UnixMilli()) }, func(r *rig) { r.release(a) }, b, c},
		{"an entry is missing", func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()) }, func(r *rig) { r.release(a) }, c, ""},
		{"an entry was missing and it has asked again", func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()); r.acquire(b, 2) },
			func(r *rig) { r.release(a) }, b, c},
		{"an entry is garbled", func(r *rig) { check(r.T, r.rdb.HSet(r.Context(), r.waiters, b, "x").Err()) }, func(r *rig) { r.release(a) }, c, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachPath(t, func(r *rig) {
				r.held(a, b, c)
				if row.before != nil {
					row.before(r)
				}
				fence := r.last()
				said := r.published(func() { row.do(r) })
				equal(r.T, "owner", r.owner(), row.owner)
				equal(r.T, "queue", r.waiting(), row.waiting)
				equal(r.T, "entries", int(r.rdb.HLen(r.Context(), r.waiters).Val()), len(strings.Fields(row.waiting)))
				if granted := r.last() != fence; granted != (row.owner != a) {
					r.Errorf("fence %d after %d", r.last(), fence)
				}
				if len(said) > 1 || len(said) == 1 && !strings.HasPrefix(said[0], channelOf(row.owner)+": ") {
					r.Errorf("published %q, and the owner is %s", said, row.owner)
				}
			})
		})
	}
}

// The bubble's clock stands still during a script, so the bound can be exact.
func TestWaiterLivesForTheWaiterTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.MiniClient(t, redistest.Mini(t)), "key")
		for _, row := range []struct {
			silent time.Duration
			owner  string
		}{{lease.WaiterTTL - time.Millisecond, b}, {lease.WaiterTTL, ""}} {
			r.held(a, b, c)
			time.Sleep(time.Millisecond)
			r.acquire(c, 2) // keeps the keys, but not b's entry, a little longer
			time.Sleep(row.silent - time.Millisecond)
			check(t, r.rdb.HDel(t.Context(), r.waiters, c).Err())
			r.release(a)
			equal(t, "owner", r.owner(), row.owner)
			check(t, r.rdb.FlushAll(t.Context()).Err())
		}
	})
}

func TestReleaseAgainChangesNothing(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		r.held(a, b)
		equal(t, "owned", r.release(a), true)
		said := r.published(func() {
			r.unchanged("a second release", func() { equal(t, "owned again", r.release(a), false) })
		})
		equal(t, "messages", len(said), 0)
		r.expiry(r.lock, grantTTL)
	})
}

func TestReleaseNeverDeletesAnothersLock(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		for _, owner := range []string{b, "", a + "x", "hand-written"} {
			check(r.T, r.rdb.Set(r.Context(), r.lock, owner, lockTTL).Err())
			r.unchanged("release", func() { equal(t, "owned", r.release(a), false) })
			r.unchanged("renew", func() { equal(t, "kept", r.renew(a), false) })
		}
	})
}

// Locks by SET NX PX, by redsync and by others exclude ours, and are left alone.
func TestForeignOwner(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		check(r.T, r.rdb.Set(r.Context(), r.lock, "hand-written", 5*time.Second).Err())
		got := r.acquire(a, 1)
		equal(t, "reply", outcome(got), "foreign")
		if got.Remaining > 5*time.Second || got.Remaining < 3*time.Second {
			r.Errorf("left %v of 5s", got.Remaining)
		}
		equal(t, "queue", r.waiting(), a)
		equal(t, "yield to a foreign owner", outcome(r.yield(c, b, 1)), "gone")

		check(r.T, r.rdb.Persist(r.Context(), r.lock).Err())
		if got := r.acquire(a, 2); outcome(got) != "foreign" || got.Remaining >= 0 {
			r.Errorf("a lock without a TTL: %+v", got)
		}
		equal(t, "TTL", r.pttl(r.lock), -1)
		equal(t, "owner", r.owner(), "hand-written")
	})
}

// A server clock that is set back makes TTLs longer than anybody asked for.
func TestWaiterCutsATTLThatIsTooLong(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		for _, row := range []struct {
			owner       string
			ttl         time.Duration
			want        time.Duration
			wantForeign bool
		}{
			{"baton:10000:host:1:id:1", time.Hour, 10 * time.Second, false},
			{"baton:10000:host:1:id:1", 4 * time.Second, 4 * time.Second, false},
			{"baton:90000:host:1:id:1", 80 * time.Second, 80 * time.Second, false},
			{"hand-written", time.Hour, time.Hour, true},
			{"baton:10000", time.Hour, time.Hour, true},
			{"xbaton:10000:a", time.Hour, time.Hour, true},
			{"baton::a", time.Hour, time.Hour, true},
		} {
			for _, n := range []int64{0, 1} {
				check(r.T, r.rdb.Set(r.Context(), r.lock, row.owner, row.ttl).Err())
				got := r.acquire(b, n)
				equal(t, row.owner+" is foreign", got.ForeignOwner, row.wantForeign)
				if got.Remaining > row.want || got.Remaining < row.want-2*time.Second {
					r.Errorf("%s: %v left, want %v", row.owner, got.Remaining, row.want)
				}
				r.expiry(r.lock, row.want)
			}
		}
	})
}

func TestFencesGrow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		before func(r *rig)
	}{
		{"with the counter", func(*rig) {}},
		{"without the counter, by the clock", func(r *rig) { check(r.T, r.rdb.Del(r.Context(), r.fence).Err()) }},
		{"with a counter that is no number, by the clock", func(r *rig) { check(r.T, r.rdb.Set(r.Context(), r.fence, "x", 0).Err()) }},
		{"with a counter that is infinite, by the clock", func(r *rig) { check(r.T, r.rdb.Set(r.Context(), r.fence, "inf", 0).Err()) }},
		{"with a counter that no fence can follow, by the clock", func(r *rig) { check(r.T, r.rdb.Set(r.Context(), r.fence, "9007199254740991", 0).Err()) }},
		{"with the clock set back, by the counter", func(r *rig) {
			if ahead := r.now().Add(time.Hour).UnixMicro(); r.last() < ahead {
				check(r.T, r.rdb.Set(r.Context(), r.fence, ahead, 0).Err())
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachPath(t, func(r *rig) {
				last := int64(0)
				grows := func(what string, base int64) {
					r.Helper()
					if base <= last || base != r.last() {
						r.Errorf("%s: base %d after %d, stored %d", what, base, last, r.last())
					}
					last = base
					r.expiry(r.fence, 3900*time.Second)
					row.before(r)
					if put := r.last(); put < 1<<53-1 {
						last = max(last, put)
					}
				}
				row.before(r)
				grows("acquire", r.acquire(a, 1).FenceBase)
				grows("yield to nobody", r.yield(a, b, 1).FenceBase)
				r.acquire(c, 1)
				r.release(b)
				grows("hand-over", r.last())
				r.acquire(d, 1)
				r.yield(c, e, 1)
				grows("hand-over by yield", r.last())
				r.expires()
				r.acquire(a, 1)
				grows("hand-over by a newcomer", r.last())
				r.release(e)
				grows("hand-over to the newcomer", r.last())
				r.release(a)
				grows("acquire again", r.acquire(a, 1).FenceBase)
			})
		})
	}
}

// A base of the clock has 16 digits: neither may lose the last of them.
func TestFenceKeepsAllDigits(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		const ahead = 4_102_444_800_000_001 // the year 2100, in µs
		check(r.T, r.rdb.Set(r.Context(), r.fence, ahead, 0).Err())
		for i := range int64(20) {
			equal(t, "base", r.acquire(a, 0).FenceBase, ahead+1+2*i)
			r.acquire(b, 1)
			said := r.published(func() { r.release(a) })
			equal(t, "message", said[0], fmt.Sprintf("to:%s: m 1 0 %d 1 0 %s key", b, ahead+2+2*i, b))
			r.release(b)
		}
	})
}

// TestNodeChannelThatNobodyHears hands over to waiters that name the channel of a node. If it has a
// subscriber, only that gets the message; else it goes to the channel of the process.
func TestNodeChannelThatNobodyHears(t *testing.T) {
	t.Parallel()
	eachPath(t, func(r *rig) {
		const node, process = "baton:{1}:process", "baton:process"
		handOver := func() []string {
			r.held(a)
			q := r.request(b, 1)
			q.Channel = node
			must(r.Acquire(r.Context(), q))(r.T)
			defer r.release(b)
			return r.published(func() { r.release(a) })
		}
		if said := handOver(); len(said) != 1 || !strings.HasPrefix(said[0], process+": m 1 ") {
			r.Errorf("published %q", said)
		}
		sub := r.rdb.SSubscribe(r.Context(), node)
		defer sub.Close()
		if _, err := sub.Receive(r.Context()); err != nil {
			r.Skip("the server has no channels of nodes: ", err)
		}
		equal(r.T, "messages to the process", len(handOver()), 0)
		if m := must(sub.ReceiveMessage(r.Context()))(r.T); !strings.HasPrefix(m.Payload, "m 1 ") {
			r.Errorf("heard %q", m.Payload)
		}
	})
}
