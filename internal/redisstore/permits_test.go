package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// Acquire has room for the arguments of each request on its stack.
func TestPermitsArgsFit(t *testing.T) {
	equal(t, "arguments", len(permitsArgs(nil, lease.Request{})), maxArgs)
}

func TestPermitsTakeWhatIsFree(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		before := r.now().UnixMicro()
		got := r.state(a, 1, 0, 3)
		if after := r.now().UnixMicro(); got.FenceBase < before || got.FenceBase > after {
			r.Errorf("base %d is not the server's time, %d to %d", got.FenceBase, before, after)
		}
		equal(r.T, "reply", got, lease.Reply{Granted: true, FenceBase: got.FenceBase, Weight: 3, GrantedNow: 3})
		s := r.stored()
		equal(r.T, "state", fmt.Sprint(s.size, s.declared, s.used, s.waiting, s.last), fmt.Sprint(10, 10, 3, 0, got.FenceBase))
		r.holdRemains("the hold", a, lockTTL)
		equal(r.T, "the end in the zset", int64(s.zset[a]), s.holds[a].expires)
		r.expiry(r.lock, stateTTL)
		r.expiry(r.holders, stateTTL)
		equal(r.T, "keys", r.rdb.DBSize(r.Context()).Val(), 2) // no waiter for a holder

		q := r.update(b, 1, 0, 2)
		q.Extra = 100
		more := r.send(q)
		equal(r.T, "with all free permits", more, lease.Reply{Granted: true, FenceBase: more.FenceBase, Weight: 7, GrantedNow: 7})
		equal(r.T, "a release", r.release(b), true)
		r.waits(c, 8)
		q.Seq, q.WantSeq, q.Want = 2, 2, 1
		equal(r.T, "while another waits", outcome(r.send(q)), "wait")
		r.expiry(r.queue, lease.WaiterTTL)
		r.expiry(r.waiters, lease.WaiterTTL)
	})
}

// Each grant has a larger fence, whatever the clock says. If the counter was lost, the fence comes
// from the clock.
func TestPermitsFencesGrow(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		const ahead = 4_102_444_800_000_001 // the year 2100, in µs
		r.has(a, 1)
		r.rewrite(r.lock, "state", 5, ahead)
		for i := range int64(5) {
			equal(r.T, "a raise", r.state(a, i+2, i+1, 1).FenceBase, ahead+i+1)
		}
		r.waits(b, 9)
		r.release(a)
		equal(r.T, "a hand-over", r.stored().holds[b].base, ahead+6)
		check(r.T, r.rdb.Del(r.Context(), r.lock, r.holders).Err())
		if now, base := r.now().UnixMicro(), r.state(c, 1, 0, 1).FenceBase; base < now {
			r.Errorf("the counter was lost at %d, and the next base is %d", now, base)
		}
	})
}

// The permits of one release go to as many waiters as possible. Each of them gets one message for its
// own request.
func TestPermitsOfOneReleaseGoToMany(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 10)
		r.waits(b, 3)
		r.waits(c, 5)
		r.waits(d, 4)
		r.waits(e, 1)
		equal(r.T, "a refresh", outcome(r.send(r.again(c, 7, 1, 0, 5))), "wait") // c keeps its place
		messages := r.published(func() { equal(r.T, "owned", r.release(a), true) })
		s := r.stored()
		r.checkState("then", "b=3 c=5 d+4 e+1")
		want := []string{
			fmt.Sprintf("to:%s: s 1 1 %d 3 1 %s key", b, s.holds[b].base, b),
			fmt.Sprintf("to:%s: s 7 1 %d 5 1 %s key", c, s.holds[c].base, c),
		}
		equal(r.T, "messages", fmt.Sprintf("%q", messages), fmt.Sprintf("%q", want))
		r.holdRemains("the first", b, grantTTL)
		r.holdRemains("the second", c, grantTTL)
		equal(r.T, "messages of a lower", len(r.published(func() { r.state(b, 2, 2, 0) })), 0)
		r.checkState("then", "b=2 c=5 d+4 e+1")
		equal(r.T, "messages of another", len(r.published(func() { r.state(b, 3, 1, 0) })), 1)
		r.checkState("then", "b=1 c=5 d=4 e+1")
		messages = r.published(func() { r.release(b) })
		if len(messages) != 1 || !strings.Contains(messages[0], " 1 0 "+e) { // no waiter is left
			r.Errorf("published %q", messages)
		}
	})
}

// Each case starts with all permits held by a, and b, c and d queued for 4 each.
func TestPermitsSkipWaitersThatCannotBeGranted(t *testing.T) {
	del := func(r *permits, key string) { check(r.T, r.rdb.Del(r.Context(), key).Err()) }
	type row struct {
		before   func(r *permits)
		then     string
		messages int
	}
	list := map[string]row{
		"none":                            {func(*permits) {}, "b=4 c=4 d+4", 2},
		"a stale head":                    {func(r *permits) { r.makeStale(b) }, "c=4 d=4", 2},
		"a stale waiter behind the head":  {func(r *permits) { r.makeStale(c) }, "b=4 d=4", 2},
		"all":                             {func(r *permits) { r.makeStale(b); r.makeStale(c); r.makeStale(d) }, "", 0},
		"a stale waiter that polls again": {func(r *permits) { r.makeStale(b); r.send(r.again(b, 2, 1, 0, 4)) }, "b=4 c=4 d+4", 2},
		"a waiter that withdraws":         {func(r *permits) { r.state(b, 2, 0, 0) }, "c=4 d=4", 2},
		"a waiter with a new want, which goes to the end": {func(r *permits) { r.state(b, 2, 0, 2) }, "c=4 d=4 b=2", 3},
		"a waiter that leaves":                            {func(r *permits) { equal(r.T, "owned", r.release(c), false) }, "b=4 d=4", 2},
		"a waiter last seen in the future":                {func(r *permits) { r.setLastSeen(b, time.Hour) }, "b=4 c=4 d+4", 2},
		"a waiter without a record":                       {func(r *permits) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()) }, "c=4 d=4", 2},
		"a waiter with a garbled record":                  {func(r *permits) { check(r.T, r.rdb.HSet(r.Context(), r.waiters, b, "x").Err()) }, "c=4 d=4", 2},
		"all, after the loss of the queue":                {func(r *permits) { del(r, r.queue) }, "", 0},
		"all, after the loss of the records":              {func(r *permits) { del(r, r.waiters) }, "", 0},
		"all, too large after a resize":                   {func(r *permits) { r.resize(3) }, "", 3},
	}
	eachServer(t, func(r *rig) {
		rows(r, list, func(rig *rig, row row) {
			r := rig.semaphore()
			r.has(a, 10)
			r.waits(b, 4)
			r.waits(c, 4)
			r.waits(d, 4)
			messages := r.published(func() {
				row.before(r)
				r.release(a)
			})
			r.checkState("then", row.then)
			equal(r.T, "messages", len(messages), row.messages)
		})
	})
}

// Each case starts with 6 of 10 permits held by a, b queued for 5, and c for 1.
func TestUpdateRequests(t *testing.T) {
	state := func(token string, n, keep, want int64) func(r *permits) lease.Reply {
		return func(r *permits) lease.Reply { return r.state(token, n, keep, want) }
	}
	type row struct {
		do            func(r *permits) lease.Reply
		outcome, then string
	}
	list := map[string]row{
		"a raise":                    {state(a, 2, 6, 1), "wait", "a=6 b+5 c+1 a+1"},
		"a try":                      {func(r *permits) lease.Reply { return r.send(r.try(a, 2, 6, 1)) }, "wait", "a=6 b+5 c+1"},
		"a lower":                    {state(a, 2, 4, 0), "wait", "a=4 b=5 c=1"},
		"a lower with a raise":       {state(a, 2, 5, 1), "wait", "a=5 b=5 c+1 a+1"},
		"a lower again":              {func(r *permits) lease.Reply { r.state(a, 2, 5, 0); return r.state(a, 3, 5, 0) }, "wait", "a=5 b=5 c+1"},
		"a yield":                    {state(a, 2, 0, 4), "granted", "b=5 c=1 a=4"},
		"a yield for too much":       {state(a, 2, 0, 6), "wait", "b=5 c=1 a+6"},
		"a yield by a try":           {func(r *permits) lease.Reply { return r.send(r.try(a, 2, 0, 6)) }, "wait", "b=5 c=1"},
		"no change":                  {state(a, 2, 6, 0), "wait", "a=6 b+5 c+1"},
		"keeping more than it holds": {state(a, 2, 7, 0), "lost", "a=6 b+5 c+1"},
		"keeping without a hold":     {state(d, 1, 1, 0), "lost", "a=6 b+5 c+1"},
		"keeping what it waits for":  {state(b, 2, 5, 0), "lost", "a=6 b+5 c+1"},
		"nothing by a stranger":      {state(d, 1, 0, 0), "wait", "a=6 b+5 c+1"},
		"after the hold has expired": {func(r *permits) lease.Reply {
			r.expireHold(a)
			return r.state(a, 2, 6, 0)
		}, "lost", "a=6 b+5 c+1"}, // the next request for permits finds the expiry
		"a waiter after an expiry":   {func(r *permits) lease.Reply { r.expireHold(a); return r.send(r.again(b, 2, 1, 0, 5)) }, "granted", "b=5 c=1"},
		"a newcomer after an expiry": {func(r *permits) lease.Reply { r.expireHold(a); return r.state(d, 1, 0, 4) }, "granted", "b=5 c=1 d=4"},
		"a newcomer when a renewed hold looks expired": {func(r *permits) lease.Reply {
			r.backdateScore(a)
			return r.state(d, 1, 0, 4)
		}, "wait", "a=6 b+5 c+1 d+4"},
		"the same permits after an expiry and the loss of the zset": {func(r *permits) lease.Reply {
			r.release(b)
			r.release(c)
			r.expireHold(a)
			check(r.T, r.rdb.Del(r.Context(), r.holders).Err())
			return r.state(a, 2, 0, 2)
		}, "granted", "a=2"},
		"a hand-over whose message was lost": {func(r *permits) lease.Reply {
			r.release(a)
			return r.send(r.again(b, 2, 1, 0, 5))
		}, "granted", "b=5 c=1"},
		"a withdrawal that crosses a hand-over": {func(r *permits) lease.Reply { r.release(a); return r.state(b, 2, 0, 0) }, "wait", "c=1"},
		"a new want that crosses a hand-over":   {func(r *permits) lease.Reply { r.release(a); return r.state(b, 2, 0, 2) }, "granted", "c=1 b=2"},
		"a lower that crosses the hand-over of a raise": {func(r *permits) lease.Reply {
			r.state(a, 2, 6, 2)
			r.release(b)
			r.release(c)
			r.checkState("the raise", "a=8")
			r.holdRemains("the raised hold", a, lockTTL)
			return r.send(r.again(a, 3, 2, 4, 2))
		}, "granted", "a=6"},
		"a copy of the granted request": {state(a, 1, 0, 6), "wait", "a=6 b+5 c+1"}, // a copy gives no window
		"a copy of the queued request": {func(r *permits) lease.Reply {
			got := r.state(b, 1, 0, 5)
			equal(r.T, "no time remaining", got.Remaining < 0, true)
			return got
		}, "wait", "a=6 b+5 c+1"},
		"an overtaken request": {func(r *permits) lease.Reply { r.state(a, 9, 3, 0); return r.state(a, 8, 1, 3) }, "wait", "a=3 b=5 c=1"},
		"an overtaken request of a waiter": {func(r *permits) lease.Reply {
			r.send(r.again(b, 9, 1, 0, 5))
			got := r.state(b, 8, 0, 0)
			equal(r.T, "contended", got.Contended, true)
			return got
		}, "wait", "a=6 b+5 c+1"},
	}
	eachServer(t, func(r *rig) {
		rows(r, list, func(rig *rig, row row) {
			r := rig.semaphore()
			r.has(a, 6)
			r.waits(b, 5)
			r.waits(c, 1)
			equal(r.T, "reply", outcome(row.do(r)), row.outcome)
			r.checkState("then", row.then)
		})
	})
}

// Every reply that extends a window has extended the hold by as much, also if the queue granted the
// request. An overtaken request gives no window.
func TestUpdatesLastForTheirTTL(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 10)
		r.waits(b, 5)
		r.expireHold(a)
		q := r.again(b, 3, 1, 0, 5)
		equal(r.T, "the head of the queue", outcome(r.send(q)), "granted")
		r.holdRemains("the head of the queue", b, lockTTL)
		r.setEnd(b, 5*time.Second)
		r.state(b, 4, 5, 0)
		r.holdRemains("an update", b, lockTTL)
		r.setEnd(b, 5*time.Second)
		equal(r.T, "an overtaken request", outcome(r.send(q)), "wait")
		r.release(b)

		r.has(c, 10)
		r.waits(b, 5)
		r.release(c)
		equal(r.T, "a request after a hand-over", outcome(r.send(r.again(b, 2, 1, 0, 5))), "granted")
		r.holdRemains("a request after a hand-over", b, lockTTL)

		q = r.update(b, 5, 5, 0)
		q.TTL = time.Second
		r.send(q)
		r.holdRemains("an update with a shorter TTL", b, lockTTL)
		q.Seq, q.TTL = 6, 3*time.Hour
		r.send(q)
		r.expiry(r.lock, 3*time.Hour)
		r.expiry(r.holders, 3*time.Hour)
	})
}

// A request of an ended claim may be executed at any later time.
func TestLateUpdateOfAnEndedClaim(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 5)
		r.state(a, 2, 2, 0)
		r.release(a)
		r.unchanged("a request that keeps something", func() {
			equal(r.T, "a raise", outcome(r.state(a, 4, 2, 3)), "lost")
			equal(r.T, "a lower", outcome(r.state(a, 3, 1, 0)), "lost")
		})
		r.unchanged("a request that wants nothing", func() { r.state(a, 5, 0, 0) })
	})
	synctest.Test(t, func(t *testing.T) { // a request that keeps nothing adds a waiter or a hold, until it expires
		r := newPermits(t, redistest.BubbleClient(t), semaphoreAt("key"), 10)
		r.has(b, 4)
		r.state(a, 1, 0, 5)
		r.state(c, 1, 0, 10)
		r.state(d, 1, 0, 1)
		time.Sleep(lease.WaiterTTL - time.Millisecond)
		r.state(d, 2, 0, 1) // the queue stays
		time.Sleep(time.Millisecond)
		r.state(e, 1, 0, 1)
		r.checkState("the waiter is stale", "b=4 a=5 d=1 e+1")
		time.Sleep(lockTTL - lease.WaiterTTL)
		r.state(e, 2, 0, 10)
		r.checkState("the hold has expired", "e=10")
	})
}

func TestSizes(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		acquire := func(token string, size, want int64) error {
			q := r.update(token, 1, 0, want)
			q.Size = size
			_, err := r.Acquire(r.Context(), q)
			return err
		}
		refused := func(what string, size, want int64, reason error) {
			r.Helper()
			r.unchanged(what, func() {
				err := acquire(e, size, want)
				expect(r.T, what, err, "permanent", "size")
				equal(r.T, what+": "+reason.Error(), errors.Is(err, reason), true)
			})
		}
		refused("more than the size", 10, 11, lease.ErrExceedsSize)
		equal(r.T, "keys", r.dump(), "")
		r.has(a, 1)
		refused("another size", 9, 1, lease.ErrSizeMismatch)
		refused("another size, and more than the size", 12, 11, lease.ErrExceedsSize)
		r.resize(20)
		expect(r.T, "the declared size", acquire("baton:10000:x0", 10, 1), "nil", "")
		expect(r.T, "the new size", acquire("baton:10000:x1", 20, 1), "nil", "")
		check(r.T, r.Resize(r.Context(), "key", 15, 20)) // by a process with another declared size
		refused("another size after a resize", 15, 1, lease.ErrSizeMismatch)
		refused("more than the size after a resize", 20, 21, lease.ErrExceedsSize)
		r.resize(2)
		equal(r.T, "in use", r.stored().used, 3)
		refused("more than the reduced size", 10, 3, lease.ErrExceedsSize)
		refused("the earlier size", 20, 1, lease.ErrSizeMismatch)
		r.waits(b, 1)
		r.release(a)
		r.checkState("two of two in use", "x0=1 x1=1 b+1")
		equal(r.T, "messages of a resize", len(r.published(func() { r.resize(4) })), 1)
		r.checkState("a resize grants a waiter", "x0=1 x1=1 b=1")
		check(r.T, r.rdb.Del(r.Context(), r.lock, r.holders).Err())
		check(r.T, r.Resize(r.Context(), "key", 7, 9))
		s := r.stored()
		equal(r.T, "a resize before the first use", fmt.Sprint(s.size, s.declared), "9 7")
		r.expiry(r.lock, stateTTL)
	})
}

// A request with a wrong size is refused, but still keeps only what it names, and leaves the queue.
// A grant from before a resize stays.
func TestUpdateOfAWrongSize(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 8)
		r.waits(b, 6)
		r.waits(c, 2)
		q := r.again(b, 2, 1, 0, 6)
		q.Size = 9
		r.fails("in the queue", q, "semaphore has 10 permits, this process expects 9")
		r.checkState("then", "a=8 c=2")
		r.fails("too large", r.update(a, 2, 4, 11), "size")
		r.checkState("then", "a=4 c=2")

		r.release(c)
		r.state(b, 3, 0, 7)
		r.release(a)
		r.resize(3)
		equal(r.T, "handed over before a resize", r.send(r.again(b, 4, 3, 0, 7)).Weight, 7)
	})
}

func TestReadersAndWriters(t *testing.T) {
	eachServer(t, func(rig *rig) {
		r := rig.rwMutex()
		r.has(a, 1)
		r.has(b, 1)
		r.waits(c, exclusive)
		r.waits(d, 1) // behind the writer
		r.waits(e, 1)
		r.release(a)
		r.checkState("one reader left", "b=1 c+W d+1 e+1")
		r.release(b)
		r.checkState("the writer's turn", "c=W d+1 e+1")
		r.waits(a, exclusive)
		r.waits(b, 1)
		messages := r.published(func() { r.release(c) })
		r.checkState("all readers up to the next writer", "d=1 e=1 a+W b+1")
		s := r.stored()
		want := []string{
			fmt.Sprintf("to:%s: r 1 1 %d 1 1 %s key", d, s.holds[d].base, d),
			fmt.Sprintf("to:%s: r 1 1 %d 1 1 %s key", e, s.holds[e].base, e),
		}
		equal(r.T, "messages", fmt.Sprintf("%q", messages), fmt.Sprintf("%q", want))
		r.release(d)
		r.release(e)
		r.waits(c, 1)
		r.waits(d, exclusive)
		r.waits(e, 1)
		messages = r.published(func() {
			equal(r.T, "contended", r.state(a, 2, 1, 0).Contended, true) // so that new readers of its process queue
		})
		r.checkState("a writer becomes a reader", "a=1 b=1 c=1 d+W e+1")
		equal(r.T, "messages", len(messages), 2)
		equal(r.T, "shared", r.stored().holds[a].shared, 1)
	})
}

// The first waiter notifies the holders that could share their hold without a request, and no other
// holder.
func TestContentionNotice(t *testing.T) {
	notice := func(token string) string { return fmt.Sprintf("to:%s: r 0 0 0 0 1 %s -", token, token) }
	eachServer(t, func(rig *rig) {
		r := rig.rwMutex()
		expect := func(what string, do func(), want ...string) {
			r.Helper()
			equal(r.T, what, fmt.Sprintf("%q", sorted(r.published(do)...)), fmt.Sprintf("%q", want))
		}
		r.has(a, 1)
		r.has(b, 1)
		expect("a try", func() { r.send(r.try(c, 1, 0, exclusive)) })
		expect("the first", func() { r.waits(d, exclusive) }, notice(a), notice(b))
		expect("the second", func() { r.waits(e, exclusive) })
		expect("the first again", func() { r.send(r.again(d, 2, 1, 0, exclusive)) })
		r.release(d)
		r.release(e)
		expect("a reader that wants to write", func() { r.state(a, 2, 1, exclusive) }, notice(b))
		r.release(a)
		r.release(b)
		r.has(a, exclusive)
		expect("behind a writer", func() { r.waits(b, 1) })

		check(r.T, r.rdb.FlushAll(r.Context()).Err())
		r = rig.semaphore()
		r.has(a, 10)
		expect("a semaphore", func() { r.waits(b, 1) })
	})
}

// Each holder has its own TTL. A shorter one does not shorten those of the others.
func TestHoldersHaveTheirOwnTTLs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPermits(t, redistest.BubbleClient(t), rwAt("key"), exclusive)
		start := time.Now()
		for token, ttl := range map[string]time.Duration{a: 10 * time.Second, b: time.Second, c: 2 * time.Hour, d: 3 * time.Second} {
			q := r.update(token, 1, 0, 1)
			q.TTL = ttl
			equal(t, token, outcome(r.send(q)), "granted")
		}
		r.expiry(r.lock, 2*time.Hour)
		for i, row := range []struct {
			at      time.Duration
			holders int64
		}{
			{time.Second - time.Millisecond, 4}, {time.Second, 3}, {3*time.Second - time.Millisecond, 3}, {3 * time.Second, 2},
			{10*time.Second - time.Millisecond, 2}, {10 * time.Second, 1}, // the keys last as long as the longest hold
			{90 * time.Minute, 1}, {2*time.Hour - time.Millisecond, 1}, {2 * time.Hour, exclusive},
		} {
			time.Sleep(row.at - time.Since(start))
			if row.holders < exclusive {
				equal(t, fmt.Sprint("inspected after ", row.at), must(r.Inspect(t.Context(), r.name))(t).Used, row.holders)
			}
			got := r.state(e, int64(i+1), 0, exclusive)
			if left := got.Remaining; !got.Granted && (left <= 0 || left > 2*time.Hour) {
				t.Errorf("after %v: %v remaining", row.at, left)
			}
			equal(t, fmt.Sprint("in use after ", row.at), r.stored().used, row.holders)
		}
	})
}

// Hours of renewals do not damage the keys that renewals do not use.
func TestRenewalsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPermits(t, redistest.BubbleClient(t), semaphoreAt("key"), 10)
		r.has(a, 6)
		fence := r.stored().last
		for range 80 * 60 / 5 { // longer than the TTL of the zset
			time.Sleep(5 * time.Second)
			equal(t, "renewed", r.renew(a, lockTTL), lease.RenewResult{Held: true})
		}
		equal(t, "the zset", r.rdb.Exists(t.Context(), r.holders).Val(), 0)
		r.has(b, 4)
		r.waits(c, 1)
		r.checkState("then", "a=6 b=4 c+1")
		r.expiry(r.holders, stateTTL)
		equal(t, "a larger fence", r.stored().last > fence, true)
		time.Sleep(stateTTL + time.Minute)
		equal(t, "unused for the TTL", r.dump(), "")
	})
}

func TestPermitsRenew(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		no := lease.RenewResult{}
		r.unchanged("renewing a missing hold", func() { equal(r.T, "held", r.renew(a, lockTTL), no) })
		r.has(a, 6)
		equal(r.T, "no waiter", r.renew(a, lockTTL), lease.RenewResult{Held: true})
		r.waits(b, 5)
		equal(r.T, "contended without another waiter", r.send(r.again(b, 2, 1, 0, 5)).Contended, false)
		r.keepQueued(b)
		r.unchanged("renewing", func() {
			equal(r.T, "by a waiter", r.renew(b, lockTTL), no)
			equal(r.T, "by a stranger", r.renew(c, lockTTL), no)
			other := lease.Renewal{Name: rwAt("key"), Token: a, TTL: lockTTL}
			equal(r.T, "as another kind", renewAll(r, []lease.Renewal{other})[0], no)
		})

		r.setEnd(a, 5*time.Second)
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, time.Minute).Err())
		var sent [][]redis.Cmder
		r.rdb.AddHook(pipelines(&sent))
		messages := r.published(func() {
			equal(r.T, "a waiter", r.renew(a, lockTTL), lease.RenewResult{Held: true, Contended: true})
		})
		equal(r.T, "messages", len(messages), 0)
		r.expiry(r.lock, stateTTL)
		r.holdRemains("a renewal", a, lockTTL)
		for _, cmd := range sent[0] { // with one key the script also runs while a cluster moves the slot
			equal(r.T, "keys", fmt.Sprint(cmd.Args()[2:4]), fmt.Sprint([]any{1, r.lock}))
		}
		r.state(c, 1, 0, 0)
		if s := r.stored(); int64(s.zset[a]) > s.holds[a].expires {
			r.Errorf("the hold ends at %d, in the zset at %v", s.holds[a].expires, s.zset[a])
		}
		r.checkState("then", "a=6 b+5")

		r.expireHold(a)
		r.unchanged("renewing an expired hold", func() { equal(r.T, "held", r.renew(a, lockTTL), no) })
	})
}

// A script that rebuilds a lost key uses the times that a renewal has stored.
func TestRenewalForLonger(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 6)
		equal(r.T, "renewed", r.renew(a, 2*time.Hour).Held, true)
		equal(r.T, "renewed for less", r.renew(a, time.Second).Held, true)
		check(r.T, r.rdb.Del(r.Context(), r.holders).Err())
		r.waits(b, 5)
		r.holdRemains("the longer renewal", a, 2*time.Hour)
		r.expiry(r.lock, 2*time.Hour)
		r.expiry(r.holders, 2*time.Hour)
	})
}

// Without other requests, renewals record the time.
func TestClockSetBackAfterARenewal(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		r.has(a, 6)
		was := r.stored().at
		r.rewrite(r.lock, "state", 7, 1)
		r.renew(a, lockTTL)
		equal(r.T, "a later time", r.stored().at >= was, true)
		r.setBack()
		before := r.stored().at
		equal(r.T, "renewed", r.renew(a, lockTTL).Held, true)
		equal(r.T, "the time", r.stored().at, before) // until a request cuts TTLs that are too long
		r.remains("the reply", r.state(b, 1, 0, 5).Remaining, lockTTL)
		r.holdRemains("the hold", a, lockTTL)
		r.checkState("then", "a=6 b+5")
	})
}

// A garbled record counts as missing. The other records stay valid.
func TestPermitsGarbled(t *testing.T) {
	eachSemaphore(t, func(r *permits) {
		for _, text := range []string{"", "x", "1 2 3", "a b c d e f g h i"} {
			check(r.T, r.rdb.FlushAll(r.Context()).Err())
			r.has(a, 4)
			r.has(b, 6)
			r.waits(c, 4)
			check(r.T, r.rdb.HSet(r.Context(), r.lock, a, text).Err())
			equal(r.T, "renewed", r.renew(a, lockTTL), lease.RenewResult{})
			equal(r.T, "its update", outcome(r.state(a, 2, 4, 0)), "lost")
			r.rdb.ZAdd(r.Context(), r.holders, redis.Z{Score: 1, Member: a}) // due
			r.state(d, 1, 0, 1)
			r.checkState("then", "b=6 c=4 d+1")
			equal(r.T, "in use", r.stored().used, 10)
		}
	})
}
