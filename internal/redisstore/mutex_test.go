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
	eachPath(t, func(r *rig) {
		before := r.now().UnixMicro()
		got := r.acquire(a, 1)
		if after := r.now().UnixMicro(); got.FenceBase < before || got.FenceBase > after {
			r.Errorf("base %d is not the server's time, %d to %d", got.FenceBase, before, after)
		}
		equal(r.T, "reply", got, lease.Reply{Granted: true, FenceBase: got.FenceBase, Weight: 1, GrantedNow: 1})
		equal(r.T, "owner", r.owner(), a)
		equal(r.T, "fence", r.last(), got.FenceBase)
		r.expiry(r.lock, lockTTL)
		equal(r.T, "keys", r.rdb.DBSize(r.Context()).Val(), 2) // no entry for an owner
	})
}

// A lost reply is answered by asking again, so that must change nothing but the TTL.
func TestAcquireByTheOwnerRenews(t *testing.T) {
	eachPath(t, func(r *rig) {
		first := r.acquire(a, 0)
		r.acquire(b, 1)
		first.Contended = true
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("asking again", func() { equal(r.T, "reply", r.acquire(a, 2), first) })
		r.expiry(r.lock, lockTTL)
	})
}

func TestAcquireOfAHeldLock(t *testing.T) {
	eachPath(t, func(r *rig) {
		r.held(a)
		r.unchanged("a try", func() {
			got := r.acquire(b, 0)
			r.remains("the owner", got.Remaining, lockTTL)
			equal(r.T, "reply", got, lease.Reply{Remaining: got.Remaining})
		})

		r.acquire(b, 1)
		r.acquire(c, 1)
		r.expiry(r.queue, lease.WaiterTTL)
		r.expiry(r.waiters, lease.WaiterTTL)
		r.acquire(b, 7)
		equal(r.T, "the queue after a refresh", r.waiting(), b+" "+c)
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
	for _, s := range []*script{mutexAcquire, mutexYield, mutexRelease} {
		if !strings.Contains(s.text, want) {
			t.Errorf("lib/limits.lua does not have %q", want)
		}
	}
}

func TestReleaseHandsOverInTurn(t *testing.T) {
	eachPath(t, func(r *rig) {
		order := []string{a, b, c, d, e}
		r.held(order[0], order[1:]...)
		for n := range int64(3) {
			r.acquire(d, n+2) // refreshing is no way forward
		}
		for i, token := range order {
			said := r.published(func() { equal(r.T, "owned", r.release(token), true) })
			if i == len(order)-1 {
				equal(r.T, "messages to nobody", len(said), 0)
				break
			}
			next, n := order[i+1], 1
			if next == d {
				n = 4
			}
			equal(r.T, "the owner after "+token, r.owner(), next)
			want := fmt.Sprintf("%s: m %d 0 %d 1 %d %s key", channelOf(next), n, r.last(), min(1, len(order)-i-2), next)
			if !slices.Equal(said, []string{want}) {
				r.Errorf("published %q, want %q once", said, want)
			}
			r.expiry(r.lock, grantTTL)
			equal(r.T, "the queue", r.waiting(), strings.Join(order[i+2:], " "))
			equal(r.T, "entries", r.rdb.HLen(r.Context(), r.waiters).Val(), int64(len(order)-i-2))
		}
		equal(r.T, "keys in the end", fmt.Sprint(r.rdb.Keys(r.Context(), "*").Val()), "["+r.fence+"]")
	})
}

// Whatever could let somebody in does so in the same script: nobody else will. Each case
// starts with a held, b and c queued.
func TestNoScriptLeavesALockFreeWhileSomebodyWaits(t *testing.T) {
	free := func(r *rig) { r.expires() }
	acquires := func(token string, n int64, want string) func(r *rig) {
		return func(r *rig) { equal(r.T, token, outcome(r.acquire(token, n)), want) }
	}
	releases := func(token string, want bool) func(r *rig) {
		return func(r *rig) { equal(r.T, "owned", r.release(token), want) }
	}
	cases := []struct {
		name           string
		before, do     func(r *rig)
		owner, waiting string
	}{
		{"release", nil, releases(a, true), b, c},
		{"yield", nil, func(r *rig) { r.yield(a, d, 1) }, b, c + " " + d},
		{"release of an expired lock", free, releases(a, false), b, c},
		{"release by a stranger of a free lock", free, releases(e, false), b, c},
		{"the first leaves a free lock", free, releases(b, false), c, ""},
		{"the second leaves a free lock", free, releases(c, false), b, ""},
		{"a try on a free lock", free, acquires(e, 0, "wait"), b, c},
		{"a newcomer on a free lock", free, acquires(e, 1, "wait"), b, c + " " + e},
		{"the first asks for a free lock", free, acquires(b, 2, "granted"), b, c},
		{"the first tries a free lock", free, acquires(b, 0, "granted"), b, c},
		{"the second asks for a free lock", free, acquires(c, 2, "wait"), b, c},
		{"the owner asks for its expired lock", free, acquires(a, 2, "wait"), b, c + " " + a},

		{"the first leaves a held lock", nil, releases(b, false), a, c},
		{"the second leaves a held lock", nil, releases(c, false), a, b},
		{"a stranger releases a held lock", nil, releases(e, false), a, b + " " + c},

		{"the first is dead at a release", func(r *rig) { r.dies(b) }, releases(a, true), c, ""},
		{"the second is dead at a release", func(r *rig) { r.dies(c) }, releases(a, true), b, c},
		{"the first is dead at a yield", func(r *rig) { r.dies(b) }, func(r *rig) { r.yield(a, d, 1) }, c, d},
		{"all are dead at a yield", func(r *rig) { r.dies(b); r.dies(c) },
			func(r *rig) { equal(r.T, "yield", outcome(r.yield(a, d, 1)), "granted") }, d, ""},
		{"the first is dead on a free lock", func(r *rig) { r.dies(b); r.expires() }, acquires(e, 1, "wait"), c, e},
		{"all are dead on a free lock", func(r *rig) { r.dies(b); r.dies(c); r.expires() }, acquires(e, 1, "granted"), e, ""},
		{"one that was dead asks again", func(r *rig) { r.dies(b); r.acquire(b, 2) }, releases(a, true), b, c},
		{"one that was dead is first and asks", func(r *rig) { r.dies(b); r.expires() }, acquires(b, 2, "granted"), b, c},
		{"an entry is seen in the future", func(r *rig) { r.seen(b, r.now().Add(time.Hour).UnixMilli()) }, releases(a, true), b, c},
		{"an entry is missing", func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()) }, releases(a, true), c, ""},
		{"an entry was missing and it has asked again", func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()); r.acquire(b, 2) },
			releases(a, true), b, c},
		{"an entry is garbled", func(r *rig) { check(r.T, r.rdb.HSet(r.Context(), r.waiters, b, "x").Err()) }, releases(a, true), c, ""},
	}
	eachPath(t, func(r *rig) {
		list := map[string]func(*rig){}
		for _, row := range cases {
			list[row.name] = func(r *rig) {
				r.held(a, b, c)
				if row.before != nil {
					row.before(r)
				}
				fence := r.last()
				said := r.published(func() { row.do(r) })
				equal(r.T, "owner", r.owner(), row.owner)
				equal(r.T, "queue", r.waiting(), row.waiting)
				equal(r.T, "entries", int(r.rdb.HLen(r.Context(), r.waiters).Val()), len(strings.Fields(row.waiting)))
				equal(r.T, "a new fence", r.last() != fence, row.owner != a)
				if len(said) > 1 || len(said) == 1 && !strings.HasPrefix(said[0], channelOf(row.owner)+": ") {
					r.Errorf("published %q, and the owner is %s", said, row.owner)
				}
			}
		}
		r.rows(list)
	})
}

// The bubble's clock stands still during a script, so the bound can be exact.
func TestWaiterLivesForTheWaiterTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.MiniClient(t, redistest.Mini(t)), "key")
		for silent, owner := range map[time.Duration]string{lease.WaiterTTL - time.Millisecond: b, lease.WaiterTTL: ""} {
			r.held(a)
			r.acquire(b, 1)
			r.acquire(c, 1)
			time.Sleep(time.Millisecond)
			r.acquire(c, 2) // keeps the keys, but not b's entry, a little longer
			time.Sleep(silent - time.Millisecond)
			check(t, r.rdb.HDel(t.Context(), r.waiters, c).Err())
			r.release(a)
			equal(t, "owner", r.owner(), owner)
			check(t, r.rdb.FlushAll(t.Context()).Err())
		}
	})
}

func TestReleaseNeverDeletesAnothersLock(t *testing.T) {
	eachPath(t, func(r *rig) {
		for _, owner := range []string{b, "", a + "x", "hand-written"} {
			check(r.T, r.rdb.Set(r.Context(), r.lock, owner, lockTTL).Err())
			r.unchanged("release", func() { equal(r.T, "owned", r.release(a), false) })
			r.unchanged("renew", func() { equal(r.T, "kept", r.renew(a), false) })
		}
	})
}

func TestRenew(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.unchanged("renewing a free lock", func() { equal(r.T, "kept", r.renew(a), false) })
		r.held(a, b)
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("renewing another's lock", func() {
			equal(r.T, "kept by one who waits", r.renew(b), false)
			equal(r.T, "kept by a stranger", r.renew(c), false)
		})
		r.expiry(r.lock, 3*time.Second)
		said := r.published(func() {
			r.unchanged("renewing", func() { equal(r.T, "kept", r.renew(a), true) })
		})
		equal(r.T, "messages", len(said), 0)
		r.expiry(r.lock, lockTTL)
	})
}

// Locks by SET NX PX, by redsync and by others exclude ours, and are left alone.
func TestForeignOwner(t *testing.T) {
	eachPath(t, func(r *rig) {
		check(r.T, r.rdb.Set(r.Context(), r.lock, "hand-written", 5*time.Second).Err())
		got := r.acquire(a, 1)
		equal(r.T, "reply", outcome(got), "foreign")
		r.remains("the reply", got.Remaining, 5*time.Second)
		equal(r.T, "queue", r.waiting(), a)
		equal(r.T, "yield to a foreign owner", outcome(r.yield(c, b, 1)), "gone")

		check(r.T, r.rdb.Persist(r.Context(), r.lock).Err())
		if got := r.acquire(a, 2); outcome(got) != "foreign" || got.Remaining >= 0 {
			r.Errorf("a lock without a TTL: %+v", got)
		}
		equal(r.T, "TTL", r.pttl(r.lock), -1)
		equal(r.T, "owner", r.owner(), "hand-written")
	})
}

// A server clock that is set back makes TTLs longer than anybody asked for.
func TestWaiterCutsATTLThatIsTooLong(t *testing.T) {
	eachPath(t, func(r *rig) {
		for _, row := range []struct {
			owner     string
			ttl, want time.Duration
		}{
			{"baton:10000:host:1:id:1", time.Hour, 10 * time.Second}, {"baton:10000:host:1:id:1", 4 * time.Second, 4 * time.Second},
			{"baton:90000:host:1:id:1", 80 * time.Second, 80 * time.Second}, {"hand-written", time.Hour, time.Hour},
			{"baton:10000", time.Hour, time.Hour}, {"xbaton:10000:a", time.Hour, time.Hour}, {"baton::a", time.Hour, time.Hour},
		} {
			for _, n := range []int64{0, 1} {
				check(r.T, r.rdb.Set(r.Context(), r.lock, row.owner, row.ttl).Err())
				got := r.acquire(b, n)
				equal(r.T, row.owner+" is foreign", got.ForeignOwner, row.want == time.Hour)
				r.remains(row.owner, got.Remaining, row.want)
				r.expiry(r.lock, row.want)
			}
		}
	})
}

func TestFencesGrow(t *testing.T) {
	set := func(value string) func(r *rig) {
		return func(r *rig) { check(r.T, r.rdb.Set(r.Context(), r.fence, value, 0).Err()) }
	}
	list := map[string]func(*rig){}
	for name, before := range map[string]func(r *rig){
		"with the counter":                                      func(*rig) {},
		"without the counter, by the clock":                     func(r *rig) { check(r.T, r.rdb.Del(r.Context(), r.fence).Err()) },
		"with a counter that is no number, by the clock":        set("x"),
		"with a counter that is infinite, by the clock":         set("inf"),
		"with a counter that no fence can follow, by the clock": set("9007199254740991"),
		"with the clock set back, by the counter": func(r *rig) {
			if ahead := r.now().Add(time.Hour).UnixMicro(); r.last() < ahead {
				set(fmt.Sprint(ahead))(r)
			}
		},
	} {
		list[name] = func(r *rig) {
			last := int64(0)
			grows := func(what string, base int64) {
				r.Helper()
				if base <= last || base != r.last() {
					r.Errorf("%s: base %d after %d, stored %d", what, base, last, r.last())
				}
				last = base
				r.expiry(r.fence, 3900*time.Second)
				before(r)
				if put := r.last(); put < 1<<53-1 {
					last = max(last, put)
				}
			}
			before(r)
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
		}
	}
	eachPath(t, func(r *rig) { r.rows(list) })
}

// A base of the clock has 16 digits: neither may lose the last of them.
func TestFenceKeepsAllDigits(t *testing.T) {
	eachPath(t, func(r *rig) {
		const ahead = 4_102_444_800_000_001 // the year 2100, in µs
		check(r.T, r.rdb.Set(r.Context(), r.fence, ahead, 0).Err())
		for i := range int64(5) {
			equal(r.T, "base", r.acquire(a, 0).FenceBase, ahead+1+2*i)
			r.acquire(b, 1)
			said := r.published(func() { r.release(a) })
			equal(r.T, "message", said[0], fmt.Sprintf("to:%s: m 1 0 %d 1 0 %s key", b, ahead+2+2*i, b))
			r.release(b)
		}
	})
}

// A yield is sent again after a lost reply, and a copy that was given up may be executed at any
// time later. Each case is a state in which the copy arrives. It may move expiries and the
// number of the request, and nothing else.
func TestYieldRepeatedOrLate(t *testing.T) {
	nothing := func(*rig) {}
	list := map[string]func(*rig){}
	for _, row := range []struct {
		name    string
		waiting []string // behind the owner a when d takes its place
		then    func(r *rig)
		want    string
	}{
		{"while it is granted", nil, nothing, "granted"},
		{"while it is granted and others wait", nil, func(r *rig) { r.acquire(b, 1) }, "granted"},
		{"after it was released", nil, func(r *rig) { r.release(d) }, "gone"},
		{"after it was released to another", nil, func(r *rig) { r.acquire(b, 1); r.release(d) }, "gone"},
		{"after it expired", nil, func(r *rig) { r.expires() }, "gone"},
		{"after it was yielded on", nil, func(r *rig) { r.yield(d, e, 1) }, "gone"},
		{"after it was yielded on to another", nil, func(r *rig) { r.acquire(b, 1); r.yield(d, e, 1) }, "gone"},
		{"after another has taken the lock since", nil, func(r *rig) { r.release(d); r.acquire(b, 1) }, "gone"},

		{"while it waits", []string{b, c}, nothing, "wait"},
		{"while it waits for the next", []string{b, c}, func(r *rig) { r.release(b) }, "wait"},
		{"after it was handed back", []string{b}, func(r *rig) { r.release(b) }, "granted"},
		{"after it was handed back and released", []string{b}, func(r *rig) { r.release(b); r.release(d) }, "gone"},
		{"after it left the queue", []string{b, c}, func(r *rig) { r.release(d) }, "gone"},
		{"after it left the queue and the owner released", []string{b}, func(r *rig) { r.release(d); r.release(b) }, "gone"},
		{"while it waits and the owner has expired", []string{b}, func(r *rig) { r.expires() }, "gone"}, // acquire then hands over
		{"while the old owner has asked anew", []string{b}, func(r *rig) { r.acquire(a, 9) }, "wait"},
	} {
		list[row.name] = func(r *rig) {
			r.held(a, row.waiting...)
			first := r.yield(a, d, 1)
			if row.waiting != nil {
				equal(r.T, "reply", outcome(first), "wait")
				equal(r.T, "left to the head of the queue", first.Remaining, grantTTL)
			}
			row.then(r)
			owner, queue, fence, ttl := r.owner(), r.waiting(), r.last(), r.pttl(r.lock)
			said := r.published(func() {
				for range 3 {
					got := r.yield(a, d, 1)
					equal(r.T, "reply", outcome(got), row.want)
					if got.Granted {
						equal(r.T, "base", got.FenceBase, fence)
					}
				}
			})
			equal(r.T, "messages", len(said), 0)
			equal(r.T, "owner", r.owner(), owner)
			equal(r.T, "queue", r.waiting(), queue)
			equal(r.T, "fence", r.last(), fence)
			if row.want != "granted" && r.pttl(r.lock) > ttl {
				r.Errorf("the lock of %s now has %v, %v before", owner, r.pttl(r.lock), ttl)
			}
		}
	}
	list["that does not queue"] = func(r *rig) {
		r.held(a, b)
		equal(r.T, "reply", outcome(r.yield(a, d, 0)), "wait")
		equal(r.T, "owner", r.owner(), b)
		equal(r.T, "queue", r.waiting(), "")
		r.unchanged("its repetition", func() { equal(r.T, "again", outcome(r.yield(a, d, 0)), "gone") })
	}
	// The number of an earlier request may come back. Its window has an earlier start, so it is safe.
	list["with another number"] = func(r *rig) {
		r.held(a, b)
		r.yield(a, d, 1)
		r.acquire(d, 2)
		r.yield(a, d, 3)
		said := r.published(func() { r.release(b) })
		equal(r.T, "published", fmt.Sprint(said), fmt.Sprintf("[to:%s: m 3 0 %d 1 0 %s key]", d, r.last(), d))
	}
	list["by a stranger"] = func(r *rig) {
		r.unchanged("on a free lock", func() { equal(r.T, "reply", outcome(r.yield(a, d, 1)), "gone") })
		r.held(b, c)
		r.unchanged("on a held lock", func() { equal(r.T, "reply", outcome(r.yield(a, d, 1)), "gone") })
		r.unchanged("from one who waits", func() { equal(r.T, "reply", outcome(r.yield(c, d, 1)), "gone") })
	}
	eachServer(t, func(r *rig) { r.rows(list) })
}
