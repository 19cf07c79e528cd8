package redisstore

import (
	"fmt"
	"regexp"
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
		equal(r.T, "keys", r.rdb.DBSize(r.Context()).Val(), 2) // no waiter for an owner

		// After a lost reply the owner sends another request, which must only change the TTL.
		r.acquire(b, 1)
		got.Contended = true
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("another request", func() { equal(r.T, "reply", r.acquire(a, 2), got) })
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
			r.Errorf("record %q", entry)
		}
		for _, key := range []string{r.queue, r.waiters} {
			check(r.T, r.rdb.PExpire(r.Context(), key, time.Second).Err())
			r.acquire(c, 2)
			r.expiry(key, lease.WaiterTTL)
		}
		r.unchanged("a try by a waiter", func() { r.acquire(b, 0) })
	})
}

func TestReleaseHandsOverInTurn(t *testing.T) {
	eachPath(t, func(r *rig) {
		order := []string{a, b, c, d, e}
		r.held(order[0], order[1:]...)
		for n := range int64(3) {
			r.acquire(d, n+2) // a poll does not change the place
		}
		for i, token := range order {
			messages := r.published(func() { equal(r.T, "owned", r.release(token), true) })
			if i == len(order)-1 {
				equal(r.T, "messages without a waiter", len(messages), 0)
				break
			}
			next, n := order[i+1], 1
			if next == d {
				n = 4
			}
			equal(r.T, "the owner after "+token, r.owner(), next)
			want := fmt.Sprintf("%s: m %d 0 %d 1 %d %s key", channelOf(next), n, r.last(), min(1, len(order)-i-2), next)
			equal(r.T, "messages", fmt.Sprintf("%q", messages), fmt.Sprintf("[%q]", want))
			r.expiry(r.lock, grantTTL)
			equal(r.T, "the queue", r.waiting(), strings.Join(order[i+2:], " "))
			equal(r.T, "records", r.rdb.HLen(r.Context(), r.waiters).Val(), int64(len(order)-i-2))
		}
		equal(r.T, "keys in the end", fmt.Sprint(r.rdb.Keys(r.Context(), "*").Val()), "["+r.fence+"]")
	})
}

// A script that finds a free lock hands it over itself, because no other script will. Each case starts
// with the lock held by a, and b and c queued.
func TestNoScriptLeavesALockFreeBehindAWaiter(t *testing.T) {
	free := func(r *rig) { r.expireLock() }
	acquires := func(token string, n int64, want string) func(r *rig) {
		return func(r *rig) { equal(r.T, token, outcome(r.acquire(token, n)), want) }
	}
	releases := func(token string, want bool) func(r *rig) {
		return func(r *rig) { equal(r.T, "owned", r.release(token), want) }
	}
	type row struct {
		before, do     func(r *rig)
		owner, waiting string
	}
	list := map[string]row{
		"release":                              {nil, releases(a, true), b, c},
		"yield":                                {nil, func(r *rig) { r.yield(a, d, 1) }, b, c + " " + d},
		"release of an expired lock":           {free, releases(a, false), b, c},
		"release by a stranger of a free lock": {free, releases(e, false), b, c},
		"the first leaves a free lock":         {free, releases(b, false), c, ""},
		"the second leaves a free lock":        {free, releases(c, false), b, ""},
		"a try on a free lock":                 {free, acquires(e, 0, "wait"), b, c},
		"a newcomer on a free lock":            {free, acquires(e, 1, "wait"), b, c + " " + e},
		"the first polls for a free lock":      {free, acquires(b, 2, "granted"), b, c},
		"the first tries a free lock":          {free, acquires(b, 0, "granted"), b, c},
		"the second polls for a free lock":     {free, acquires(c, 2, "wait"), b, c},
		"the owner requests its expired lock":  {free, acquires(a, 2, "wait"), b, c + " " + a},

		"the first leaves a held lock":    {nil, releases(b, false), a, c},
		"the second leaves a held lock":   {nil, releases(c, false), a, b},
		"a stranger releases a held lock": {nil, releases(e, false), a, b + " " + c},

		"the first is stale at a release":  {func(r *rig) { r.makeStale(b) }, releases(a, true), c, ""},
		"the second is stale at a release": {func(r *rig) { r.makeStale(c) }, releases(a, true), b, c},
		"the first is stale at a yield":    {func(r *rig) { r.makeStale(b) }, func(r *rig) { r.yield(a, d, 1) }, c, d},
		"all are stale at a yield": {func(r *rig) { r.makeStale(b); r.makeStale(c) },
			func(r *rig) { equal(r.T, "yield", outcome(r.yield(a, d, 1)), "granted") }, d, ""},
		"the first is stale on a free lock": {func(r *rig) { r.makeStale(b); r.expireLock() }, acquires(e, 1, "wait"), c, e},
		"all are stale on a free lock":      {func(r *rig) { r.makeStale(b); r.makeStale(c); r.expireLock() }, acquires(e, 1, "granted"), e, ""},
		"a stale waiter polls again":        {func(r *rig) { r.makeStale(b); r.acquire(b, 2) }, releases(a, true), b, c},
		"a stale first waiter polls again":  {func(r *rig) { r.makeStale(b); r.expireLock() }, acquires(b, 2, "granted"), b, c},
		"a waiter was seen in the future":   {func(r *rig) { r.setLastSeen(b, time.Hour) }, releases(a, true), b, c},
		"a record is missing":               {func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()) }, releases(a, true), c, ""},
		"a waiter without a record polls again": {func(r *rig) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()); r.acquire(b, 2) },
			releases(a, true), b, c},
		"a record is garbled": {func(r *rig) { check(r.T, r.rdb.HSet(r.Context(), r.waiters, b, "x").Err()) }, releases(a, true), c, ""},
	}
	eachPath(t, func(r *rig) {
		rows(r, list, func(r *rig, row row) {
			r.held(a, b, c)
			if row.before != nil {
				row.before(r)
			}
			fence := r.last()
			messages := r.published(func() { row.do(r) })
			equal(r.T, "owner", r.owner(), row.owner)
			equal(r.T, "queue", r.waiting(), row.waiting)
			equal(r.T, "records", int(r.rdb.HLen(r.Context(), r.waiters).Val()), len(strings.Fields(row.waiting)))
			equal(r.T, "a new fence", r.last() != fence, row.owner != a)
			if len(messages) > 1 || len(messages) == 1 && !strings.HasPrefix(messages[0], channelOf(row.owner)+": ") {
				r.Errorf("published %q, and the owner is %s", messages, row.owner)
			}
		})
	})
}

// A waiter becomes stale exactly after WaiterTTL. The clock of the bubble stands still during a script.
func TestWaiterIsStaleAfterTheWaiterTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, redistest.BubbleClient(t), "key")
		for silent, owner := range map[time.Duration]string{lease.WaiterTTL - time.Millisecond: b, lease.WaiterTTL: ""} {
			r.held(a)
			r.acquire(b, 1)
			r.acquire(c, 1)
			time.Sleep(time.Millisecond)
			r.acquire(c, 2) // extends the keys, but not b's record
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
			r.unchanged("renew", func() { equal(r.T, "held", r.renew(a), false) })
		}
	})
}

func TestRenew(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.unchanged("renewing a free lock", func() { equal(r.T, "held", r.renew(a), false) })
		r.held(a)
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		r.unchanged("renewing another's lock", func() { equal(r.T, "held by a stranger", r.renew(b), false) })
		r.expiry(r.lock, 3*time.Second)
		equal(r.T, "messages", len(r.published(func() {
			r.unchanged("renewing", func() { equal(r.T, "held", r.renew(a), true) })
		})), 0)
		r.expiry(r.lock, lockTTL)

		// The reply reports contention if the renewal asks for it. Otherwise the script does not read the queue.
		renewed := func(what string, contention, value bool, want lease.RenewResult) {
			r.Helper()
			claim := lease.Renewal{Name: mutexAt(r.lock), Token: a, TTL: lockTTL, Contention: contention, Value: value}
			want.Held = true
			equal(r.T, what, renewAll(r, []lease.Renewal{claim})[0], want)
		}
		renewed("without a waiter", true, false, lease.RenewResult{})
		r.acquire(b, 1)
		renewed("with a waiter", true, false, lease.RenewResult{Contended: true})
		renewed("not asked for", false, false, lease.RenewResult{})
		renewed("without a value", false, true, lease.RenewResult{Contended: true, NoValue: true})
		r.write(a, 1, "v", func(w *lease.ValueWrite) { w.TTL = time.Minute })
		renewed("with a value", false, true, lease.RenewResult{Contended: true})
		r.expiry(r.valueKey(), 65*time.Minute)
		equal(r.T, "held by a waiter", r.renew(b), false)
	})
}

// Locks of SET NX PX, redsync and others exclude ours, and are not changed. The TTL of ours is cut if it is
// too long, because the server's clock was set back.
func TestWaiterCutsATTLThatIsTooLong(t *testing.T) {
	const ours = "baton:10000:host:1:id:1"
	eachPath(t, func(r *rig) {
		for _, row := range []struct {
			owner     string
			ttl, want time.Duration
		}{
			{ours, time.Hour, 10 * time.Second}, {ours, 4 * time.Second, 4 * time.Second}, {"baton:90000:host:1:id:1", 80 * time.Second, 80 * time.Second},
			{"hand-written", time.Hour, time.Hour}, {"baton:10000", time.Hour, time.Hour}, {"xbaton:10000:a", time.Hour, time.Hour}, {"baton::a", time.Hour, time.Hour},
		} {
			for _, n := range []int64{0, 1} {
				check(r.T, r.rdb.Set(r.Context(), r.lock, row.owner, row.ttl).Err())
				got := r.acquire(b, n)
				equal(r.T, row.owner+" is foreign", got.ForeignOwner, row.want == time.Hour)
				r.remains(row.owner, got.Remaining, row.want)
				r.expiry(r.lock, row.want)
			}
		}
		equal(r.T, "yield to a foreign owner", outcome(r.yield(c, d, 1)), "lost")
		check(r.T, r.rdb.Persist(r.Context(), r.lock).Err())
		if got := r.acquire(b, 2); !got.ForeignOwner || got.Remaining >= 0 {
			r.Errorf("a lock without a TTL: %+v", got)
		}
		equal(r.T, "TTL", r.pttl(r.lock), -1)
	})
}

func TestFencesGrow(t *testing.T) {
	set := func(value string) func(r *rig) {
		return func(r *rig) { check(r.T, r.rdb.Set(r.Context(), r.fence, value, 0).Err()) }
	}
	list := map[string]func(r *rig){
		"with the counter":                                      func(*rig) {},
		"without the counter, by the clock":                     func(r *rig) { check(r.T, r.rdb.Del(r.Context(), r.fence).Err()) },
		"with a counter that is not a number, by the clock":     set("x"),
		"with a counter that is infinite, by the clock":         set("inf"),
		"with a counter that no fence can follow, by the clock": set("9007199254740991"),
		"with the clock set back, by the counter": func(r *rig) {
			if ahead := r.now().Add(time.Hour).UnixMicro(); r.last() < ahead {
				set(fmt.Sprint(ahead))(r)
			}
		},
	}
	eachPath(t, func(r *rig) {
		rows(r, list, func(r *rig, before func(r *rig)) {
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
			grows("yield without a waiter", r.yield(a, b, 1).FenceBase)
			r.acquire(c, 1)
			r.release(b)
			grows("hand-over", r.last())
			r.acquire(d, 1)
			r.yield(c, e, 1)
			grows("hand-over by yield", r.last())
			r.expireLock()
			r.acquire(a, 1)
			grows("hand-over by a newcomer", r.last())
			r.release(e)
			grows("hand-over to the newcomer", r.last())
			r.release(a)
			grows("acquire again", r.acquire(a, 1).FenceBase)
		})
	})
}

// A yield is repeated after a lost reply, and an abandoned copy may be executed at any later time. Each
// case is a state in which the copy arrives. The copy may only change expiries and the number of the
// request.
func TestYieldRepeatedOrLate(t *testing.T) {
	nothing := func(*rig) {}
	type row struct {
		waiting []string // behind the owner a when d takes its place
		then    func(r *rig)
		want    string
	}
	list := map[string]row{
		"while it is granted":                 {nil, nothing, "granted"},
		"while it is granted and others wait": {nil, func(r *rig) { r.acquire(b, 1) }, "granted"},
		"after it was released":               {nil, func(r *rig) { r.release(d) }, "lost"},
		"after it was released to another":    {nil, func(r *rig) { r.acquire(b, 1); r.release(d) }, "lost"},
		"after it expired":                    {nil, func(r *rig) { r.expireLock() }, "lost"},
		"after it was yielded on":             {nil, func(r *rig) { r.yield(d, e, 1) }, "lost"},
		"after it was yielded on to another":  {nil, func(r *rig) { r.acquire(b, 1); r.yield(d, e, 1) }, "lost"},
		"after another has acquired the lock": {nil, func(r *rig) { r.release(d); r.acquire(b, 1) }, "lost"},

		"while it waits":                                 {[]string{b, c}, nothing, "wait"},
		"while the next waiter holds the lock":           {[]string{b, c}, func(r *rig) { r.release(b) }, "wait"},
		"after the lock was handed back":                 {[]string{b}, func(r *rig) { r.release(b) }, "granted"},
		"after the lock was handed back and released":    {[]string{b}, func(r *rig) { r.release(b); r.release(d) }, "lost"},
		"after it left the queue":                        {[]string{b, c}, func(r *rig) { r.release(d) }, "lost"},
		"after it left the queue and the owner released": {[]string{b}, func(r *rig) { r.release(d); r.release(b) }, "lost"},
		"while it waits and the owner has expired":       {[]string{b}, func(r *rig) { r.expireLock() }, "lost"}, // the next acquire hands over
		"while the old owner is queued again":            {[]string{b}, func(r *rig) { r.acquire(a, 9) }, "wait"},
	}
	eachServer(t, func(r *rig) {
		rows(r, list, func(r *rig, row row) {
			r.held(a, row.waiting...)
			first := r.yield(a, d, 1)
			if row.waiting != nil {
				equal(r.T, "reply", outcome(first), "wait")
				equal(r.T, "the TTL of the hand-over", first.Remaining, grantTTL)
			}
			row.then(r)
			owner, queue, fence, ttl := r.owner(), r.waiting(), r.last(), r.pttl(r.lock)
			messages := r.published(func() {
				for range 3 {
					got := r.yield(a, d, 1)
					equal(r.T, "reply", outcome(got), row.want)
					if got.Granted {
						equal(r.T, "base", got.FenceBase, fence)
					}
				}
			})
			equal(r.T, "messages", len(messages), 0)
			equal(r.T, "owner", r.owner(), owner)
			equal(r.T, "queue", r.waiting(), queue)
			equal(r.T, "fence", r.last(), fence)
			if row.want == "granted" {
				r.expiry(r.lock, lockTTL)
			} else if r.pttl(r.lock) > ttl {
				r.Errorf("the lock of %s now has %v, %v before", owner, r.pttl(r.lock), ttl)
			}
		})
	})
}

func TestYield(t *testing.T) {
	eachServer(t, func(r *rig) {
		r.unchanged("by a stranger, of a free lock", func() { equal(r.T, "reply", outcome(r.yield(a, d, 1)), "lost") })
		r.held(b, c)
		r.unchanged("by a stranger, of a held lock", func() { equal(r.T, "reply", outcome(r.yield(a, d, 1)), "lost") })
		r.unchanged("by a waiter", func() { equal(r.T, "reply", outcome(r.yield(c, d, 1)), "lost") })
		equal(r.T, "without queueing", outcome(r.yield(b, d, 0)), "wait")
		equal(r.T, "owner", r.owner(), c)
		equal(r.T, "queue", r.waiting(), "")
		r.unchanged("its repetition", func() { equal(r.T, "again", outcome(r.yield(b, d, 0)), "lost") })

		// The number of an earlier request may come back. Its window has an earlier start, so it is safe.
		r.acquire(b, 1)
		r.yield(c, d, 1)
		r.acquire(d, 2)
		r.yield(c, d, 3)
		messages := r.published(func() { r.release(b) })
		equal(r.T, "published", fmt.Sprint(messages), fmt.Sprintf("[to:%s: m 3 0 %d 1 0 %s key]", d, r.last(), d))
	})
}

// A yield removes the only waiter from the queue, and appends a token to it. It must not begin while a
// cluster migrates the slot, because the emptied queue could then not be written.
func TestYieldWhileTheSlotMigrates(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	r := &rig{T: t, Store: NewStore(c.Client(t)), lock: "key"}
	r.acquire(a, 1)
	r.acquire(b, 1)
	stop := c.BeginMigration(t, c.Slot(t, r.lock))
	q := r.request(d, 1)
	q.Replaces = a
	expect(t, "yield", r.acquiring(q)(), "passing", "TRYAGAIN")
	stop()
	r.acquire(b, 2) // all this may have taken longer than WaiterTTL
	equal(t, "then", outcome(r.yield(a, d, 1)), "wait")
}
