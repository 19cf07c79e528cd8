package redisstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

func TestPermitsTakeWhatIsFree(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		before := r.now()
		got := r.state(a, 1, 0, 3)
		if after := r.now(); got.FenceBase < before.UnixMicro() || got.FenceBase > after.UnixMicro() {
			r.Errorf("base %d is not the server's time, %d to %d", got.FenceBase, before.UnixMicro(), after.UnixMicro())
		}
		equal(r.T, "reply", got, lease.Reply{Granted: true, FenceBase: got.FenceBase, Weight: 3, GrantedNow: 3})
		s := r.stored()
		equal(r.T, "state", fmt.Sprint(s.size, s.declared, s.used, s.waiting, s.last), fmt.Sprint(10, 10, 3, 0, got.FenceBase))
		h := s.holds[a]
		if end := r.now().Add(lockTTL).UnixMilli(); h.expires > end || h.expires < end-2000 || int64(s.zset[a]) != h.expires {
			r.Errorf("it ends at %d, in the zset at %v, now+TTL is %d", h.expires, s.zset[a], end)
		}
		r.expiry(r.main, 65*time.Minute)
		r.expiry(r.holders, 65*time.Minute)
		equal(r.T, "keys", r.rdb.DBSize(r.Context()).Val(), 2) // no entry for a holder

		q := r.update(b, 1, 0, 2)
		q.Extra = 100
		more := r.says(q)
		equal(r.T, "with all that is free", more, lease.Reply{Granted: true, FenceBase: more.FenceBase, Weight: 7, GrantedNow: 7})
		equal(r.T, "a release", r.release(b), true)
		r.waits(c, 8)
		q.Seq, q.WantSeq, q.Want = 2, 2, 1
		equal(r.T, "nothing while somebody waits", outcome(r.says(q)), "wait")
	})
}

// What is taken again has a larger fence, whatever the clock says, or, if the
// counter was lost, by the clock.
func TestPermitsFencesGrow(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		const ahead = 4_102_444_800_000_001 // the year 2100, in µs
		r.has(a, 1)
		r.rewrite(r.main, "state", func(fields []string) { fields[5] = fmt.Sprint(int64(ahead)) })
		for i := range int64(5) {
			equal(r.T, "a raise", r.state(a, i+2, i+1, 1).FenceBase, ahead+i+1)
		}
		r.waits(b, 9)
		r.release(a)
		equal(r.T, "a hand-over", r.stored().holds[b].base, ahead+6)
		check(r.T, r.rdb.Del(r.Context(), r.main, r.holders).Err())
		if now, base := r.now().UnixMicro(), r.state(c, 1, 0, 1).FenceBase; base < now {
			r.Errorf("the counter was lost at %d, and then the base is %d", now, base)
		}
	})
}

// The permits of one release go to as many as they are enough for, and each of
// them is told once, of its own request.
func TestPermitsOfOneReleaseGoToMany(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		r.has(a, 10)
		r.waits(b, 3)
		r.waits(c, 5)
		r.waits(d, 4)
		r.waits(e, 1)
		q := r.update(c, 7, 0, 5)
		q.WantSeq = 1
		equal(r.T, "a refresh", outcome(r.says(q)), "wait") // and keeps its place
		said := r.published(func() { equal(r.T, "owned", r.release(a), true) })
		s := r.stored()
		r.stands("then", "b=3 c=5 d+4 e+1")
		want := []string{
			fmt.Sprintf("to:%s: s 1 1 %d 3 1 %s key", b, s.holds[b].base, b),
			fmt.Sprintf("to:%s: s 7 1 %d 5 1 %s key", c, s.holds[c].base, c),
		}
		if !slices.Equal(said, want) {
			r.Errorf("published %q, want %q", said, want)
		}
		for token, h := range s.holds {
			if end := r.now().Add(grantTTL).UnixMilli(); h.expires > end || h.expires < end-2000 {
				r.Errorf("%s was given until %d, now+grant is %d", token, h.expires, end)
			}
		}
		equal(r.T, "messages of a lower that is enough for nobody",
			len(r.published(func() { r.state(b, 2, 2, 0); r.stands("then", "b=2 c=5 d+4 e+1") })), 0)
		equal(r.T, "messages of one that is", len(r.published(func() { r.state(b, 3, 1, 0) })), 1)
		r.stands("then", "b=1 c=5 d=4 e+1")
		said = r.published(func() { r.release(b) })
		if len(said) != 1 || !strings.Contains(said[0], " 1 0 "+e) { // nobody waits after it
			r.Errorf("published %q", said)
		}
	})
}

func TestPermitsPassOverWhoCannotBeLetIn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		before func(r *permits)
		then   string
		told   int
	}{
		{"nobody", func(*permits) {}, "b=4 c=4 d+4", 2},
		{"a dead one at the head", func(r *permits) { r.dies(b) }, "c=4 d=4", 2},
		{"a dead one behind it", func(r *permits) { r.dies(c) }, "b=4 d=4", 2},
		{"all", func(r *permits) { r.dies(b); r.dies(c); r.dies(d) }, "", 0},
		{"one that was dead and asks again", func(r *permits) {
			r.dies(b)
			q := r.update(b, 2, 0, 4)
			q.WantSeq = 1
			r.says(q)
		}, "b=4 c=4 d+4", 2},
		{"one that withdraws", func(r *permits) { r.state(b, 2, 0, 0) }, "c=4 d=4", 2},
		{"one that wants something else: to the end with it", func(r *permits) { r.state(b, 2, 0, 2) }, "c=4 d=4 b=2", 3},
		{"one that leaves", func(r *permits) { equal(r.T, "owned", r.release(c), false) }, "b=4 d=4", 2},
		{"one that is seen in the future", func(r *permits) { r.seen(b, time.Hour) }, "b=4 c=4 d+4", 2},
		{"one whose entry is missing", func(r *permits) { check(r.T, r.rdb.HDel(r.Context(), r.waiters, b).Err()) }, "c=4 d=4", 2},
		{"one whose entry is garbled", func(r *permits) { check(r.T, r.rdb.HSet(r.Context(), r.waiters, b, "x").Err()) }, "c=4 d=4", 2},
		{"all, as the queue is lost", func(r *permits) { check(r.T, r.rdb.Del(r.Context(), r.queue).Err()) }, "", 0},
		{"all, as the entries are lost", func(r *permits) { check(r.T, r.rdb.Del(r.Context(), r.waiters).Err()) }, "", 0},
		{"all that are too large after a resize", func(r *permits) { r.resize(3) }, "", 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachSemaphore(t, func(r *permits) {
				r.has(a, 10)
				r.waits(b, 4)
				r.waits(c, 4)
				r.waits(d, 4)
				said := r.published(func() {
					row.before(r)
					r.release(a)
				})
				r.stands("then", row.then)
				equal(r.T, "messages", len(said), row.told)
			})
		})
	}
}

// Each row starts with a holding 6 of 10, b queued for 5, c for 1.
func TestUpdateRequests(t *testing.T) {
	t.Parallel()
	again := func(q lease.Request, order int64) lease.Request { q.WantSeq = order; return q }
	for _, row := range []struct {
		name    string
		do      func(r *permits) lease.Reply
		outcome string
		then    string
	}{
		{"a raise", func(r *permits) lease.Reply { return r.state(a, 2, 6, 1) }, "wait", "a=6 b+5 c+1 a+1"},
		{"a try", func(r *permits) lease.Reply {
			q := r.update(a, 2, 6, 1)
			q.Enqueue = false
			return r.says(q)
		}, "wait", "a=6 b+5 c+1"},
		{"a lower", func(r *permits) lease.Reply { return r.state(a, 2, 4, 0) }, "wait", "a=4 b=5 c=1"},
		{"a lower with a raise", func(r *permits) lease.Reply { return r.state(a, 2, 5, 1) }, "wait", "a=5 b=5 c+1 a+1"},
		{"a yield", func(r *permits) lease.Reply { return r.state(a, 2, 0, 4) }, "granted", "b=5 c=1 a=4"},
		{"a yield for too much", func(r *permits) lease.Reply { return r.state(a, 2, 0, 6) }, "wait", "b=5 c=1 a+6"},
		{"a yield by a try", func(r *permits) lease.Reply {
			q := r.update(a, 2, 0, 6)
			q.Enqueue = false
			return r.says(q)
		}, "wait", "b=5 c=1"},
		{"a statement of no change", func(r *permits) lease.Reply { return r.state(a, 2, 6, 0) }, "wait", "a=6 b+5 c+1"},
		{"more than it holds", func(r *permits) lease.Reply { return r.state(a, 2, 7, 0) }, "gone", "a=6 b+5 c+1"},
		{"what it does not hold", func(r *permits) lease.Reply { return r.state(d, 1, 1, 0) }, "gone", "a=6 b+5 c+1"},
		{"what it waits for", func(r *permits) lease.Reply { return r.state(b, 2, 5, 0) }, "gone", "a=6 b+5 c+1"},
		{"nothing by a stranger", func(r *permits) lease.Reply { return r.state(d, 1, 0, 0) }, "wait", "a=6 b+5 c+1"},
		{"that the hold has run out", func(r *permits) lease.Reply {
			r.expires(a)
			return r.state(a, 2, 6, 0)
		}, "gone", "a=6 b+5 c+1"}, // the next who asks finds that
		{"a waiter when a hold has run out", func(r *permits) lease.Reply {
			r.expires(a)
			return r.says(again(r.update(b, 2, 0, 5), 1))
		}, "granted", "b=5 c=1"},
		{"a newcomer when a hold has run out", func(r *permits) lease.Reply {
			r.expires(a)
			return r.state(d, 1, 0, 4)
		}, "granted", "b=5 c=1 d=4"},
		{"what it held when that and the zset is lost", func(r *permits) lease.Reply {
			r.release(b)
			r.release(c)
			r.expires(a)
			check(r.T, r.rdb.Del(r.Context(), r.holders).Err())
			return r.state(a, 2, 0, 2)
		}, "granted", "a=2"},
		{"a hand-over that it has not heard of", func(r *permits) lease.Reply {
			r.release(a)
			return r.says(again(r.update(b, 2, 0, 5), 1))
		}, "granted", "b=5 c=1"},
		{"a withdrawal that crosses a hand-over", func(r *permits) lease.Reply {
			r.release(a)
			return r.state(b, 2, 0, 0)
		}, "wait", "c=1"},
		{"a change of mind that crosses a hand-over", func(r *permits) lease.Reply {
			r.release(a)
			return r.state(b, 2, 0, 2)
		}, "granted", "c=1 b=2"},
		{"a lower that crosses the hand-over of a raise", func(r *permits) lease.Reply {
			r.state(a, 2, 6, 2)
			r.release(b)
			r.release(c)
			r.stands("the raise", "a=8")
			return r.says(again(r.update(a, 3, 4, 2), 2))
		}, "granted", "a=6"},
		{"an overtaken one", func(r *permits) lease.Reply {
			r.state(a, 9, 3, 0)
			return r.state(a, 8, 1, 3)
		}, "wait", "a=3 b=5 c=1"},
		{"an overtaken one that waits", func(r *permits) lease.Reply {
			r.says(again(r.update(b, 9, 0, 5), 1))
			return r.state(b, 8, 0, 0)
		}, "wait", "a=6 b+5 c+1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachSemaphore(t, func(r *permits) {
				r.has(a, 6)
				r.waits(b, 5)
				r.waits(c, 1)
				equal(r.T, "reply", outcome(row.do(r)), row.outcome)
				r.stands("then", row.then)
			})
		})
	}
}

// Every answer that moves a window has made the hold last for as long, also if
// the queue let in the one who asks. And one that was overtaken gives no window.
func TestUpdatesLastForTheirTTL(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		lasts := func(what string) {
			r.Helper()
			if left := r.stored().holds[b].expires - r.now().UnixMilli(); left < lockTTL.Milliseconds()-2000 {
				r.Errorf("%s: %dms are left", what, left)
			}
		}
		r.has(a, 10)
		r.waits(b, 5)
		r.expires(a)
		q := r.update(b, 3, 0, 5)
		q.WantSeq = 1
		equal(r.T, "the head of the queue", outcome(r.says(q)), "granted")
		lasts("the head of the queue")
		r.ends(b, time.Second)
		r.state(b, 4, 5, 0)
		lasts("a statement")
		r.ends(b, time.Second)
		equal(r.T, "an overtaken one", outcome(r.says(q)), "wait")
		r.release(b)

		r.has(c, 10)
		r.waits(b, 5)
		r.release(c)
		q.Seq = 2
		equal(r.T, "one that asks after a hand-over", outcome(r.says(q)), "granted")
		lasts("one that asks after a hand-over")

		q = r.update(b, 5, 5, 0)
		q.TTL = time.Second
		r.says(q)
		lasts("a shorter statement")
		q.Seq, q.TTL = 6, 3*time.Hour
		r.says(q)
		r.expiry(r.main, 3*time.Hour)
		r.expiry(r.holders, 3*time.Hour)
	})
}

// What a claim that has ended still had under way can be executed at any time.
func TestLateUpdateOfAnEndedClaim(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		r.has(a, 5)
		r.state(a, 2, 2, 0)
		r.release(a)
		r.unchanged("one that keeps something", func() {
			equal(r.T, "a raise", outcome(r.state(a, 4, 2, 3)), "gone")
			equal(r.T, "a lower", outcome(r.state(a, 3, 1, 0)), "gone")
		})
		r.unchanged("one that wants nothing", func() { r.state(a, 5, 0, 0) })
	})
	synctest.Test(t, func(t *testing.T) { // one that keeps nothing makes a ghost, for a time
		r := newPermits(t, redistest.MiniClient(t, redistest.Mini(t)), semaphoreAt("key"), 10)
		r.has(b, 4)
		r.state(a, 1, 0, 5)
		r.waits(c, 10)
		r.waits(d, 1)
		time.Sleep(lease.WaiterTTL - time.Millisecond)
		r.state(d, 2, 0, 1) // the queue lives on
		time.Sleep(time.Millisecond)
		r.state(e, 1, 0, 1)
		r.stands("the entry's time has come", "b=4 a=5 d=1 e+1")
		time.Sleep(lockTTL - lease.WaiterTTL)
		r.state(e, 2, 0, 10)
		r.stands("the hold's time has come", "e=10")
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		ask := func(token string, size, want int64) (lease.Reply, error) {
			q := r.update(token, 1, 0, want)
			q.Size = size
			return r.Acquire(r.Context(), q)
		}
		refused := func(what string, size, want int64, tooLarge bool) {
			r.Helper()
			r.unchanged(what, func() {
				_, err := ask(e, size, want)
				expect(r.T, what, err, "permanent", "size")
				equal(r.T, what+": ErrSizeMismatch", errors.Is(err, lease.ErrSizeMismatch), !tooLarge)
				equal(r.T, what+": ErrExceedsSize", errors.Is(err, lease.ErrExceedsSize), tooLarge)
			})
		}
		refused("more than there will be", 10, 11, true)
		equal(r.T, "keys", r.all(), "")
		r.has(a, 1)
		refused("another size", 9, 1, false)
		refused("another size, and more than there is", 12, 11, true)
		r.resize(20)
		for i, size := range []int64{10, 20} {
			_, err := ask(fmt.Sprint("baton:10000:x", i), size, 1)
			expect(r.T, fmt.Sprint("size ", size), err, "nil", "")
		}
		check(r.T, r.Resize(r.Context(), "key", 15, 20)) // by one who takes another for the first
		refused("another size after a resize", 15, 1, false)
		refused("more than there is after a resize", 20, 21, true)
		r.resize(2) // two more are in use
		equal(r.T, "in use", r.stored().used, 3)
		refused("more than is left", 10, 3, true)
		refused("the size of before", 20, 1, false)
		r.waits(b, 1)
		r.release(a)
		r.stands("of two, two are in use", "x0=1 x1=1 b+1")
		said := r.published(func() { r.resize(4) })
		equal(r.T, "messages of a resize", len(said), 1)
		r.stands("a resize lets in", "x0=1 x1=1 b=1")
		check(r.T, r.rdb.Del(r.Context(), r.main, r.holders).Err())
		check(r.T, r.Resize(r.Context(), "key", 7, 9))
		s := r.stored()
		equal(r.T, "a resize before the first use", fmt.Sprint(s.size, s.declared), "9 7")
		r.expiry(r.main, 65*time.Minute)
	})
}

// A statement that is refused for the size says what it keeps all the same, and
// leaves the queue. What was granted before a resize stays granted.
func TestUpdateOfAWrongSize(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		r.has(a, 8)
		r.waits(b, 6)
		r.waits(c, 2)
		q := r.update(b, 2, 0, 6)
		q.WantSeq, q.Size = 1, 9
		_, err := r.Acquire(r.Context(), q)
		expect(r.T, "in the queue", err, "permanent", "semaphore has 10 permits, this process expects 9")
		r.stands("then", "a=8 c=2")
		q = r.update(a, 2, 4, 11)
		_, err = r.Acquire(r.Context(), q)
		equal(r.T, "too large", errors.Is(err, lease.ErrExceedsSize), true)
		r.stands("then", "a=4 c=2")

		r.release(c)
		r.state(b, 3, 0, 7)
		r.release(a)
		r.resize(3)
		q = r.update(b, 4, 0, 7)
		q.WantSeq = 3
		equal(r.T, "handed over before a resize", r.says(q).Weight, 7)
	})
}
