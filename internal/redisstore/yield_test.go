package redisstore

import (
	"slices"
	"testing"
	"time"
)

func TestYieldToTheHeadOfTheLine(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a, b, c)
		said := r.published(func() {
			got := r.yield(a, d, 1)
			equal(t, "reply", outcome(got), "wait")
			equal(t, "left to the head", got.Remaining, grantTTL)
		})
		equal(t, "messages", len(said), 1)
		equal(t, "owner", r.owner(), b)
		equal(t, "queue", r.waiting(), c+" "+d)
		r.expiry(r.lock, grantTTL)
	})
}

// With nobody queued the token changes all the same: a late copy of the yield
// must find that the old one is gone.
func TestYieldToNobody(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		first := r.acquire(a, 1)
		check(r.T, r.rdb.PExpire(r.Context(), r.lock, 3*time.Second).Err())
		got := r.yield(a, b, 1)
		equal(t, "reply", outcome(got), "granted")
		if got.FenceBase <= first.FenceBase {
			r.Errorf("base %d after %d", got.FenceBase, first.FenceBase)
		}
		equal(t, "owner", r.owner(), b)
		equal(t, "queue", r.waiting(), "")
		r.expiry(r.lock, lockTTL)
		equal(t, "the old token owns", r.release(a), false)
		equal(t, "the old token is kept", r.renew(a), false)
	})
}

func TestYieldThatDoesNotQueue(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a, b)
		equal(t, "reply", outcome(r.yield(a, d, 0)), "wait")
		equal(t, "owner", r.owner(), b)
		equal(t, "queue", r.waiting(), "")
		r.unchanged("its repetition", func() { equal(t, "again", outcome(r.yield(a, d, 0)), "gone") })
	})
}

// A yield is sent again after a lost reply, and a copy that was given up may be
// executed at any time later. Each row is a state in which the copy arrives; it
// may move expiries and the number of the request, and nothing else.
func TestYieldRepeatedOrLate(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		waiting []string // behind the owner a when d takes its place
		then    func(r *rig)
		want    string
	}{
		{"while it is granted", nil, func(*rig) {}, "granted"},
		{"while it is granted and others wait", nil, func(r *rig) { r.acquire(b, 1) }, "granted"},
		{"after it was released", nil, func(r *rig) { r.release(d) }, "gone"},
		{"after it was released to another", nil, func(r *rig) { r.acquire(b, 1); r.release(d) }, "gone"},
		{"after it expired", nil, func(r *rig) { r.expires() }, "gone"},
		{"after it was yielded on", nil, func(r *rig) { r.yield(d, e, 1) }, "gone"},
		{"after it was yielded on to another", nil, func(r *rig) { r.acquire(b, 1); r.yield(d, e, 1) }, "gone"},
		{"after another has taken the lock since", nil, func(r *rig) { r.release(d); r.acquire(b, 1) }, "gone"},

		{"while it waits", []string{b, c}, func(*rig) {}, "wait"},
		{"while it waits for the next", []string{b, c}, func(r *rig) { r.release(b) }, "wait"},
		{"after it was handed back", []string{b}, func(r *rig) { r.release(b) }, "granted"},
		{"after it was handed back and released", []string{b}, func(r *rig) { r.release(b); r.release(d) }, "gone"},
		{"after it left the queue", []string{b, c}, func(r *rig) { r.release(d) }, "gone"},
		{"after it left the queue and the owner released", []string{b}, func(r *rig) { r.release(d); r.release(b) }, "gone"},
		{"while it waits and the owner has expired", []string{b}, func(r *rig) { r.expires() }, "gone"}, // acquire then hands over
		{"while the old owner has asked anew", []string{b}, func(r *rig) { r.acquire(a, 9) }, "wait"},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachServer(t, func(r *rig) {
				r.held(a, row.waiting...)
				r.yield(a, d, 1)
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
			})
		})
	}
}

// In the one state in which a late copy refreshes an entry, the number of an
// earlier request may come back. Its window has an earlier start, so it is safe.
func TestYieldRefreshesItsEntry(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.held(a, b)
		r.yield(a, d, 1)
		r.acquire(d, 2)
		r.yield(a, d, 3)
		said := r.published(func() { r.release(b) })
		if !slices.Contains(said, "to:"+d+": m 3 0 "+r.rdb.Get(r.Context(), r.fence).Val()+" 1 0 "+d+" key") {
			r.Errorf("published %q", said)
		}
	})
}

func TestYieldByAStranger(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		r.unchanged("on a free lock", func() { equal(t, "reply", outcome(r.yield(a, d, 1)), "gone") })
		r.held(b, c)
		r.unchanged("on a held lock", func() { equal(t, "reply", outcome(r.yield(a, d, 1)), "gone") })
		r.unchanged("from one who waits", func() { equal(t, "reply", outcome(r.yield(c, d, 1)), "gone") })
	})
}
