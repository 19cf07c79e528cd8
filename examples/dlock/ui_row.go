package main

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
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
	holds      []*block  // of the last minute
	queue      [][2]int64
	handovers  []time.Time // of the last rateOver
	fence      int64       // of the last hold
	view, sent rowView
	version    int64 // at which sent was changed
}

// rateOver is the period over which hand-overs are counted. A lock with several holds in this period
// is shown even if it is free.
const rateOver = 5 * time.Second

// maxHolds is the maximum number of blocks in the strip, about one per pixel.
const maxHolds = 2000

// A block of the strip shows one hold.
type block struct {
	blockView
	token   string
	open    bool
	version int64 // at which the block was changed
}

// The views are sent to the page as JSON. A fence is a string, because JavaScript numbers are too small.
type (
	rowView struct {
		ID      string       `json:"id"`
		Name    string       `json:"name"`
		Kind    string       `json:"kind"`
		Detail  string       `json:"detail,omitempty"`
		Holders []holderView `json:"holders,omitempty"`
		More    int          `json:"more,omitempty"`
		Queue   []ownerView  `json:"queue,omitempty"`
		Waiters int          `json:"waiting,omitempty"`
		Rate    float64      `json:"rate,omitempty"`
		Limiter *limiterView `json:"limiter,omitempty"`
	}
	ownerView struct {
		Owner string `json:"owner"` // identifies the owner and its color
		Label string `json:"label,omitempty"`
		Host  string `json:"host,omitempty"`
		PID   int    `json:"pid,omitempty"`
		As    string `json:"as,omitempty"`
	}
	holderView struct {
		ownerView
		Token string `json:"token,omitempty"`
		Fence string `json:"fence,omitempty"`
		Until int64  `json:"until,omitempty"` // 0 means no expiry
		TTL   int64  `json:"ttl,omitempty"`   // the largest remaining time so far
	}
	limiterView struct {
		Limit float64 `json:"limit"`
		Burst int     `json:"burst"`
		Empty int64   `json:"empty"` // when the bucket was or will be empty, without further events
	}
	blockView struct {
		ID    int64  `json:"id"`
		Owner string `json:"owner"`
		Name  string `json:"name"`
		From  int64  `json:"from"`
		To    int64  `json:"to"` // end, or the last time it was seen open
		Open  bool   `json:"open,omitempty"`
	}
)

func newRow(name string) *row {
	return &row{name: name, view: rowView{ID: base64.RawURLEncoding.EncodeToString([]byte(name)), Name: plain(name)}}
}

// idle reports whether the key has no holder, waiter or reservation to show.
func (s status) idle() bool {
	return len(s.Holders) == 0 && s.Waiters == 0 && s.Count == 0 && (s.Limiter == nil || s.Limiter.Tokens >= float64(s.Limiter.Burst))
}

func viewOf(o mutex.Owner, as string) ownerView {
	v := ownerView{Label: plain(o.Label), Host: plain(o.Host), PID: o.PID, As: as}
	if o.Host == "" {
		v.Label = plain(o.Token) // a lock of another library
	}
	h := fnv.New32a()
	fmt.Fprint(h, v.Label, "\x00", v.Host, "\x00", v.PID)
	v.Owner = strconv.FormatUint(uint64(h.Sum32()), 36)
	return v
}

func (v ownerView) name() string {
	switch {
	case v.Host == "":
		return v.Label
	case v.Label == "":
		return fmt.Sprintf("%s·%d", v.Host, v.PID)
	}
	return v.Label
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
	before := r.view.Holders
	v := rowView{ID: r.view.ID, Name: r.view.Name, Kind: s.Kind, Detail: s.Detail, More: s.More, Waiters: s.Waiters}
	for _, h := range s.Holders {
		hv := holderView{ownerView: viewOf(h.Owner, h.As), Token: h.Token}
		if h.Fence > 0 {
			hv.Fence = strconv.FormatInt(h.Fence, 10)
		}
		if h.Remaining >= 0 {
			hv.Until, hv.TTL = at.Add(h.Remaining).UnixMilli(), h.Remaining.Milliseconds()
		}
		if i := slices.IndexFunc(before, func(b holderView) bool { return b.Token == h.Token }); i >= 0 {
			hv.TTL = max(hv.TTL, before[i].TTL)
			if moved := hv.Until - before[i].Until; moved > -100 && moved < 100 {
				hv.Until = before[i].Until
			}
		}
		v.Holders = append(v.Holders, hv)
		r.fence = max(r.fence, h.Fence)
	}
	for _, w := range s.Queue {
		v.Queue = append(v.Queue, viewOf(w.Owner, w.As))
	}
	if l := s.Limiter; l != nil {
		v.Limiter = &limiterView{Limit: min(float64(l.Limit), 1e300), Burst: l.Burst}
		if l.Limit > 0 {
			ms := math.Max(-1e15, math.Min((l.Tokens-l.Reserved)/float64(l.Limit)*1000, 1e15))
			v.Limiter.Empty = at.UnixMilli() - int64(ms)
		}
		if old := r.view.Limiter; old != nil {
			if moved := v.Limiter.Empty - old.Empty; moved > -20 && moved < 20 {
				v.Limiter.Empty = old.Empty
			}
		}
		v.Detail = ""
	}
	r.view = v
	r.updateHolds(s, at, skew)
	r.queue = append(r.queue, [2]int64{at.UnixMilli(), int64(s.Waiters)})
	r.trim(at)
}

// updateHolds updates the strip with the current holders. An ended hold lasted at least until the
// last poll that has seen it. If the key had waiters, it lasted until the next hold started.
func (r *row) updateHolds(s status, at time.Time, skew time.Duration) {
	now := at.UnixMilli()
	for _, h := range s.Holders {
		i := slices.IndexFunc(r.holds, func(b *block) bool { return b.open && b.token == h.Token })
		if i >= 0 {
			r.holds[i].To, r.holds[i].version = now, 0
			continue
		}
		from := now
		if exclusive(r.kind) && h.Fence > 0 {
			// The upper bits of a fence are the time of its grant, by Redis' clock.
			granted := time.UnixMicro(h.Fence / 1024).Add(-skew).UnixMilli()
			from = min(now, max(granted, r.lastSeen()))
		}
		if exclusive(r.kind) {
			r.endHolds(from, s.Waiters > 0 || r.view.Waiters > 0)
		}
		r.startHold(h.Token, viewOf(h.Owner, h.As), from, now)
	}
	for _, b := range r.holds {
		if b.open && !slices.ContainsFunc(s.Holders, func(h holder) bool { return h.Token == b.token }) {
			b.open, b.Open, b.version = false, false, 0
		}
	}
}

// lastSeen returns the time of the last poll. No new hold can have started earlier.
func (r *row) lastSeen() int64 {
	if len(r.queue) == 0 {
		return 0
	}
	return r.queue[len(r.queue)-1][0]
}

// endHolds ends the open holds.
func (r *row) endHolds(at int64, contended bool) {
	for _, b := range r.holds {
		if !b.open {
			continue
		}
		b.open, b.Open, b.version = false, false, 0
		if contended {
			b.To = max(b.To, at)
		}
	}
}

func (r *row) startHold(token string, owner ownerView, from, to int64) {
	h := &block{token: token, open: true}
	h.Owner, h.Name, h.From, h.To, h.Open = owner.Owner, owner.name(), from, to, true
	if len(r.holds) > 0 {
		h.ID = r.holds[len(r.holds)-1].ID + 1
	}
	r.holds = append(r.holds, h)
}

// handedOver applies a hand-over message.
func (r *row) handedOver(to mutex.Owner, fence int64, at time.Time) {
	r.busy, r.handovers = at, append(r.handovers, at)
	if fence <= r.fence {
		return // an old message
	}
	owner := viewOf(to, "")
	if exclusive(r.kind) {
		r.fence = fence
		r.endHolds(at.UnixMilli(), true)
		// The next poll reads the remaining time of its lease.
		ttl := int64(0)
		if len(r.view.Holders) > 0 {
			ttl = r.view.Holders[0].TTL
		}
		before := r.view.Holders
		r.view.Kind, r.view.Detail, r.view.More = r.kind, "", 0
		r.view.Holders = []holderView{{ownerView: owner, Token: to.Token, Fence: strconv.FormatInt(fence, 10), Until: at.UnixMilli() + ttl, TTL: ttl}}
		r.rotate(before, owner)
	}
	if !slices.ContainsFunc(r.holds, func(b *block) bool { return b.open && b.token == to.Token }) {
		r.startHold(to.Token, owner, at.UnixMilli(), at.UnixMilli())
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
		times := 0
		for _, b := range r.holds {
			if b.Owner == h.Owner {
				times++
			}
		}
		if times > 1 && h.Owner != owner.Owner {
			r.view.Queue = append(r.view.Queue, h.ownerView)
			r.view.Waiters++
		}
	}
}

// trim removes data older than the strip.
func (r *row) trim(now time.Time) {
	old := now.Add(-stripLength).UnixMilli()
	r.holds = slices.DeleteFunc(r.holds, func(b *block) bool { return !b.open && b.To < old })
	r.holds = r.holds[max(0, len(r.holds)-maxHolds):]
	r.queue = slices.DeleteFunc(r.queue, func(q [2]int64) bool { return q[0] < old })
	r.handovers = slices.DeleteFunc(r.handovers, func(at time.Time) bool { return now.Sub(at) > rateOver })
}

// removable reports whether the row of a free key may be removed. A lock that was held often in the
// last rateOver stays, so that its row does not appear and disappear.
func (r *row) removable() bool {
	recent, before := 0, time.Now().Add(-rateOver).UnixMilli()
	for _, b := range r.holds {
		if b.To > before {
			recent++
		}
	}
	return recent < 3 || time.Since(r.busy) > rateOver
}

// render updates the view. It reports whether the view or the strip differs from the version that
// was sent.
func (r *row) render(version int64) (changed bool) {
	r.view.Rate = math.Round(float64(len(r.handovers))/rateOver.Seconds()*10) / 10
	for _, b := range r.holds {
		if b.version == 0 {
			b.version, changed = version, true
		}
	}
	if !reflect.DeepEqual(r.sent, r.view) {
		r.sent, r.version, changed = r.view, version, true
	}
	return changed
}

// strip returns the blocks that have changed after the version, or all blocks for a new stream.
func (r *row) strip(version int64, started bool) (holds []blockView, queue [][2]int64) {
	for _, b := range r.holds {
		if b.version > version || !started {
			holds = append(holds, b.blockView)
		}
	}
	if !started {
		return holds, r.queue
	}
	return holds, r.queue[max(0, len(r.queue)-1):]
}
