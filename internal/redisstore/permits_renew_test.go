package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

func TestPermitsRenew(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		no := lease.RenewResult{}
		r.unchanged("renewing what is not there", func() { equal(r.T, "kept", r.renew(a, lockTTL), no) })
		r.has(a, 6)
		equal(r.T, "nobody waits", r.renew(a, lockTTL), lease.RenewResult{Held: true})
		r.waits(b, 5)
		r.unchanged("renewing", func() {
			equal(r.T, "by one who waits", r.renew(b, lockTTL), no)
			equal(r.T, "by a stranger", r.renew(c, lockTTL), no)
			other := lease.Renewal{Name: rwAt("key"), Token: a, TTL: lockTTL}
			equal(r.T, "as another kind", renewAll(r, []lease.Renewal{other})[0], no)
		})

		r.ends(a, time.Second)
		check(r.T, r.rdb.PExpire(r.Context(), r.main, 2*time.Second).Err())
		var sent pipelines
		r.rdb.AddHook(&sent)
		said := r.published(func() {
			equal(r.T, "somebody waits", r.renew(a, lockTTL), lease.RenewResult{Held: true, Contended: true})
		})
		equal(r.T, "messages", len(said), 0)
		r.expiry(r.main, 65*time.Minute)
		s := r.stored()
		if left := s.holds[a].expires - r.now().UnixMilli(); left < 8000 || left > 10000 {
			r.Errorf("renewed for %dms", left)
		}
		for _, cmd := range sent[0] { // else it could not run while a cluster moves the slot
			args := cmd.Args()
			equal(r.T, "keys", args[2].(int), 1)
			equal(r.T, "key", args[3].(string), r.main)
		}
		r.state(c, 1, 0, 0)
		if s := r.stored(); int64(s.zset[a]) > s.holds[a].expires {
			r.Errorf("ends at %d, in the zset at %v", s.holds[a].expires, s.zset[a])
		}
		r.stands("then", "a=6 b+5")

		r.expires(a)
		r.unchanged("renewing what has run out", func() { equal(r.T, "kept", r.renew(a, lockTTL), no) })
	})
}

// Scripts that rebuild what was lost go by what a renewal has written.
func TestRenewalForLonger(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		r.has(a, 6)
		equal(r.T, "renewed", r.renew(a, 2*time.Hour).Held, true)
		equal(r.T, "renewed for less", r.renew(a, time.Second).Held, true)
		check(r.T, r.rdb.Del(r.Context(), r.holders).Err())
		r.waits(b, 5)
		if left := r.stored().holds[a].expires - r.now().UnixMilli(); left < (2*time.Hour - 2*time.Second).Milliseconds() {
			r.Errorf("%dms left of two hours", left)
		}
		r.expiry(r.main, 2*time.Hour)
		r.expiry(r.holders, 2*time.Hour)
	})
}

// Renewals are the witness of the clock while nobody asks for anything.
func TestClockSetBackAfterARenewal(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		r.has(a, 6)
		was := r.stored().at
		r.rewrite(r.main, "state", func(fields []string) { fields[7] = "1" })
		r.renew(a, lockTTL)
		if at := r.stored().at; at < was {
			r.Errorf("the time is %d, and was %d", at, was)
		}
		r.setBack()
		before := r.stored().at
		equal(r.T, "renewed", r.renew(a, lockTTL).Held, true)
		equal(r.T, "the time", r.stored().at, before) // until somebody cuts what lasts too long
		got := r.state(b, 1, 0, 5)
		if got.Remaining <= 0 || got.Remaining > lockTTL {
			r.Errorf("%v left", got.Remaining)
		}
		if left := r.stored().holds[a].expires - r.now().UnixMilli(); left > lockTTL.Milliseconds() {
			r.Errorf("%dms left", left)
		}
		r.stands("then", "a=6 b+5")
	})
}

// Whatever the key is, a message can be read, and names it.
func TestPermitsOfOddKeys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a b c", "nul\x00in it", "{tag}rest", "a}b{c", "}{", "ends with ", "%s %d", "r 1 1 1 1 1 x y", "\xff\xfe"} {
		eachSemaphore(t, func(r *permits) {
			for _, kind := range []lease.Kind{lease.Semaphore, lease.RWMutex} {
				check(r.T, r.rdb.FlushAll(r.Context()).Err())
				p := newPermits(r.T, r.rdb, lease.Name{Kind: kind, Key: key}, lease.ExclusiveWeight)
				p.has(a, lease.ExclusiveWeight)
				p.waits(b, 1)
				said := p.published(func() { p.release(a) })
				_, payload, _ := strings.Cut(said[0], "to:"+b+": ")
				got, ok := parseMessage(payload)
				want := lease.Handover{Name: p.name, Token: b, Seq: 1, WantSeq: 1, FenceBase: p.stored().holds[b].base, Weight: 1}
				if !ok || got != want {
					r.Errorf("heard %+v, want %+v", got, want)
				}
			}
		})
	}
}

// A server that was restarted does not know the scripts any more.
func TestPermitsUnknownScript(t *testing.T) {
	t.Parallel()
	eachSemaphore(t, func(r *permits) {
		for _, do := range []func(){
			func() { r.has(a, 6) },
			func() { equal(r.T, "renewed", r.renew(a, lockTTL).Held, true) },
			func() { r.resize(20) },
			func() { equal(r.T, "released", r.release(a), true) },
		} {
			check(r.T, r.rdb.ScriptFlush(r.Context()).Err())
			do()
		}
	})
}
