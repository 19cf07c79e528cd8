package main

import (
	"encoding/base64"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A row is the page's data of one key.
type row struct {
	name, kind string
	busy       time.Time // when the key was last in use
	strip      strip
	queue      [][2]int64  // time and number of waiters, at each poll of the last minute
	handovers  []time.Time // of the last rateOver
	fence      int64       // of the last hold
	view, sent rowView
	version    int64 // at which sent was changed
}

// rateOver is the period over which hand-overs are counted. A lock with several holds in this period
// is shown even if it is free.
const rateOver = 5 * time.Second

func newRow(name string) *row {
	return &row{name: name, view: rowView{ID: base64.RawURLEncoding.EncodeToString([]byte(name)), Name: plain(name)}}
}

// idle reports whether the key has no holder, waiter or reservation to show.
func (s status) idle() bool {
	return len(s.Holders) == 0 && s.Waiters == 0 && s.Count == 0 && (s.Limiter == nil || s.Limiter.Tokens >= float64(s.Limiter.Burst))
}

// applyStatus applies the result of Inspect.
func (r *row) applyStatus(s status, at time.Time, skew time.Duration) {
	if n := len(r.handovers); n > 0 && exclusive(r.kind) && len(s.Holders) > 0 && s.Holders[0].Fence < r.fence && at.Sub(r.handovers[n-1]) < pollInterval {
		return // a later hand-over was received
	}
	r.kind = s.Kind
	if !s.idle() {
		r.busy = at
	}
	for _, h := range s.Holders {
		r.fence = max(r.fence, h.Fence)
	}
	contended := s.Waiters > 0 || r.view.Waiters > 0
	r.view = r.view.next(s, at)
	r.applyHolders(s.Holders, contended, at, skew)
	r.queue = append(r.queue, [2]int64{at.UnixMilli(), int64(s.Waiters)})
	r.trim(at)
}

// applyHolders updates the strip. A new hold of an exclusive lock ends the hold before.
func (r *row) applyHolders(holders []holder, contended bool, at time.Time, skew time.Duration) {
	now := at.UnixMilli()
	for _, h := range holders {
		if r.strip.stillOpen(h.Token, now) {
			continue
		}
		from := now
		if exclusive(r.kind) && h.Fence > 0 {
			// The upper bits of a fence are the time of its grant, by Redis' clock.
			granted := time.UnixMicro(h.Fence / 1024).Add(-skew).UnixMilli()
			from = min(now, max(granted, r.lastPoll()))
		}
		if exclusive(r.kind) {
			r.strip.endAll(from, contended)
		}
		r.strip.start(h.Token, viewOf(h.Owner, h.As), from, now)
	}
	r.strip.endOthers(holders)
}

// lastPoll returns the time of the last poll. No new hold can have started earlier.
func (r *row) lastPoll() int64 {
	if len(r.queue) == 0 {
		return 0
	}
	return r.queue[len(r.queue)-1][0]
}

// handedOver applies a hand-over message.
func (r *row) handedOver(to mutex.Owner, fence int64, at time.Time) {
	r.busy, r.handovers = at, append(r.handovers, at)
	if fence <= r.fence {
		return // an old message
	}
	owner, now := viewOf(to, ""), at.UnixMilli()
	if exclusive(r.kind) {
		r.fence = fence
		r.strip.endAll(now, true)
		before := r.view.Holders
		ttl := int64(0) // the next poll reads the remaining time of its lease
		if len(before) > 0 {
			ttl = before[0].TTL
		}
		r.view.Kind, r.view.Detail, r.view.More = r.kind, "", 0
		r.view.Holders = []holderView{{ownerView: owner, Token: to.Token, Fence: strconv.FormatInt(fence, 10), Until: now + ttl, TTL: ttl}}
		r.rotate(before, owner)
	}
	if !r.strip.stillOpen(to.Token, now) {
		r.strip.start(to.Token, owner, now, now)
	}
	r.trim(at)
}

// rotate removes the new holder from the queue. A former holder that has held the lock more than
// once is assumed to wait again, until the next poll.
func (r *row) rotate(before []holderView, owner ownerView) {
	n := len(r.view.Queue)
	r.view.Queue = slices.DeleteFunc(slices.Clone(r.view.Queue), func(w ownerView) bool { return w.Owner == owner.Owner })
	r.view.Waiters -= n - len(r.view.Queue)
	for _, h := range before {
		if h.Owner != owner.Owner && r.strip.count(func(b *block) bool { return b.Owner == h.Owner }) > 1 {
			r.view.Queue = append(r.view.Queue, h.ownerView)
			r.view.Waiters++
		}
	}
}

// trim removes data older than the strip.
func (r *row) trim(now time.Time) {
	old := now.Add(-stripLength).UnixMilli()
	r.strip.trim(old)
	r.queue = slices.DeleteFunc(r.queue, func(q [2]int64) bool { return q[0] < old })
	r.handovers = slices.DeleteFunc(r.handovers, func(at time.Time) bool { return now.Sub(at) > rateOver })
}

// removable reports whether the row of a free key may be removed. A lock that was held often in the
// last rateOver stays, so that its row does not appear and disappear.
func (r *row) removable() bool {
	before := time.Now().Add(-rateOver)
	recent := r.strip.count(func(b *block) bool { return b.To > before.UnixMilli() })
	return recent < 3 || r.busy.Before(before)
}

// render updates the view. It reports whether the view or the strip differs from the version that
// was sent.
func (r *row) render(version int64) (changed bool) {
	r.view.Rate = math.Round(float64(len(r.handovers))/rateOver.Seconds()*10) / 10
	changed = r.strip.mark(version)
	if !reflect.DeepEqual(r.sent, r.view) {
		r.sent, r.version, changed = r.view, version, true
	}
	return changed
}
