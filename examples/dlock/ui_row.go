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

// A row is what the page shows of a key.
type row struct {
	name, kind string
	busy       time.Time // when it was last in use
	holds      []*block  // in the last minute
	queue      [][2]int64
	handovers  []time.Time // in the last rateOver
	fence      int64       // of the last hold
	view, sent rowView
	version    int64 // in which sent was changed
}

// rateOver is the time over which hand-overs are counted, and a lock that is free now is still shown
// if several have had it.
const rateOver = 5 * time.Second

// maxHolds is how many blocks the strip has. A pixel of it is longer than the rest.
const maxHolds = 2000

// A block of the strip is a hold.
type block struct {
	blockView
	token   string
	open    bool
	version int64 // in which it was changed
}

// The views are what a page is sent. A fence is more than a number of JavaScript can hold.
type (
	rowView struct {
		ID      string       `json:"id"`
		Name    string       `json:"name"`
		Kind    string       `json:"kind"`
		Detail  string       `json:"detail,omitempty"`
		Holders []holderView `json:"holders,omitempty"`
		More    int          `json:"more,omitempty"`
		Queue   []ownerView  `json:"queue,omitempty"`
		Waiting int          `json:"waiting,omitempty"`
		Rate    float64      `json:"rate,omitempty"`
		Limiter *limiterView `json:"limiter,omitempty"`
	}
	ownerView struct {
		Who   string `json:"who"` // has a color
		Label string `json:"label,omitempty"`
		Host  string `json:"host,omitempty"`
		PID   int    `json:"pid,omitempty"`
		As    string `json:"as,omitempty"`
	}
	holderView struct {
		ownerView
		Token string `json:"token,omitempty"`
		Fence string `json:"fence,omitempty"`
		Until int64  `json:"until,omitempty"` // 0 if it does not expire
		TTL   int64  `json:"ttl,omitempty"`   // the most that was left of it
	}
	limiterView struct {
		Limit float64 `json:"limit"`
		Burst int     `json:"burst"`
		Empty int64   `json:"empty"` // when it had no token, if nobody takes more
	}
	blockView struct {
		ID   int64  `json:"id"`
		Who  string `json:"who"`
		Name string `json:"name"`
		From int64  `json:"from"`
		To   int64  `json:"to"` // so far
		Open bool   `json:"open,omitempty"`
	}
)

func newRow(name string) *row {
	return &row{name: name, view: rowView{ID: base64.RawURLEncoding.EncodeToString([]byte(name)), Name: plain(name)}}
}

// idle reports whether there is nothing to be seen.
func (s status) idle() bool {
	return len(s.Holders) == 0 && s.Waiting == 0 && s.Count == 0 && (s.Limiter == nil || s.Limiter.Tokens >= float64(s.Limiter.Burst))
}

func viewOf(o mutex.Owner, as string) ownerView {
	v := ownerView{Label: plain(o.Label), Host: plain(o.Host), PID: o.PID, As: as}
	if o.Host == "" {
		v.Label = plain(o.Token) // a lock that is not ours
	}
	h := fnv.New32a()
	fmt.Fprint(h, v.Label, "\x00", v.Host, "\x00", v.PID)
	v.Who = strconv.FormatUint(uint64(h.Sum32()), 36)
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

// seen handles the result of Inspect.
func (r *row) seen(s status, at time.Time, skew time.Duration) {
	if n := len(r.handovers); n > 0 && exclusive(r.kind) && len(s.Holders) > 0 && s.Holders[0].Fence < r.fence && at.Sub(r.handovers[n-1]) < lookEvery {
		return // a hand-over has come since
	}
	r.kind = s.Kind
	if !s.idle() {
		r.busy = at
	}
	before := r.view.Holders
	v := rowView{ID: r.view.ID, Name: r.view.Name, Kind: s.Kind, Detail: s.Detail, More: s.More, Waiting: s.Waiting}
	for _, h := range s.Holders {
		hv := holderView{ownerView: viewOf(h.Owner, h.As), Token: h.Token}
		if h.Fence > 0 {
			hv.Fence = strconv.FormatInt(h.Fence, 10)
		}
		if h.Left >= 0 {
			hv.Until, hv.TTL = at.Add(h.Left).UnixMilli(), h.Left.Milliseconds()
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
	r.mark(s, at, skew)
	r.queue = append(r.queue, [2]int64{at.UnixMilli(), int64(s.Waiting)})
	r.trim(at)
}

// mark notes in the strip who holds the key. A hold that has ended lasted at least until it was seen
// last, and, if somebody waited for it, until the next began.
func (r *row) mark(s status, at time.Time, skew time.Duration) {
	now := at.UnixMilli()
	for _, h := range s.Holders {
		i := slices.IndexFunc(r.holds, func(b *block) bool { return b.open && b.token == h.Token })
		if i >= 0 {
			r.holds[i].To, r.holds[i].version = now, 0
			continue
		}
		from := now
		if exclusive(r.kind) && h.Fence > 0 {
			// A fence begins with the time of its grant, by the clock of Redis.
			granted := time.UnixMicro(h.Fence / 1024).Add(-skew).UnixMilli()
			from = min(now, max(granted, r.lastSeen()))
		}
		if exclusive(r.kind) {
			r.close(from, s.Waiting > 0 || r.view.Waiting > 0)
		}
		r.begin(h.Token, viewOf(h.Owner, h.As), from, now)
	}
	for _, b := range r.holds {
		if b.open && !slices.ContainsFunc(s.Holders, func(h holder) bool { return h.Token == b.token }) {
			b.open, b.Open, b.version = false, false, 0
		}
	}
}

// lastSeen is when the last look was, before which no new hold can have begun.
func (r *row) lastSeen() int64 {
	if len(r.queue) == 0 {
		return 0
	}
	return r.queue[len(r.queue)-1][0]
}

// close ends the holds that go on.
func (r *row) close(at int64, awaited bool) {
	for _, b := range r.holds {
		if !b.open {
			continue
		}
		b.open, b.Open, b.version = false, false, 0
		if awaited {
			b.To = max(b.To, at)
		}
	}
}

func (r *row) begin(token string, who ownerView, from, to int64) {
	h := &block{token: token, open: true}
	h.Who, h.Name, h.From, h.To, h.Open = who.Who, who.name(), from, to, true
	if len(r.holds) > 0 {
		h.ID = r.holds[len(r.holds)-1].ID + 1
	}
	r.holds = append(r.holds, h)
}

// handedOver handles the message of a hand-over.
func (r *row) handedOver(to mutex.Owner, fence int64, at time.Time) {
	r.busy, r.handovers = at, append(r.handovers, at)
	if fence <= r.fence {
		return // an old message
	}
	who := viewOf(to, "")
	if exclusive(r.kind) {
		r.fence = fence
		r.close(at.UnixMilli(), true)
		// The next look finds what is left of its lease.
		ttl := int64(0)
		if len(r.view.Holders) > 0 {
			ttl = r.view.Holders[0].TTL
		}
		before := r.view.Holders
		r.view.Kind, r.view.Detail, r.view.More = r.kind, "", 0
		r.view.Holders = []holderView{{ownerView: who, Token: to.Token, Fence: strconv.FormatInt(fence, 10), Until: at.UnixMilli() + ttl, TTL: ttl}}
		r.rotate(before, who)
	}
	if !slices.ContainsFunc(r.holds, func(b *block) bool { return b.open && b.token == to.Token }) {
		r.begin(to.Token, who, at.UnixMilli(), at.UnixMilli())
	}
	r.trim(at)
}

// rotate takes the new holder from the queue. A holder that has come back before is taken to wait
// again, until the next look.
func (r *row) rotate(before []holderView, who ownerView) {
	n := len(r.view.Queue)
	r.view.Queue = slices.DeleteFunc(slices.Clone(r.view.Queue), func(w ownerView) bool { return w.Who == who.Who })
	r.view.Waiting -= n - len(r.view.Queue)
	for _, h := range before {
		times := 0
		for _, b := range r.holds {
			if b.Who == h.Who {
				times++
			}
		}
		if times > 1 && h.Who != who.Who {
			r.view.Queue = append(r.view.Queue, h.ownerView)
			r.view.Waiting++
		}
	}
}

// trim forgets what is older than the strip.
func (r *row) trim(now time.Time) {
	old := now.Add(-memory).UnixMilli()
	r.holds = slices.DeleteFunc(r.holds, func(b *block) bool { return !b.open && b.To < old })
	r.holds = r.holds[max(0, len(r.holds)-maxHolds):]
	r.queue = slices.DeleteFunc(r.queue, func(q [2]int64) bool { return q[0] < old })
	r.handovers = slices.DeleteFunc(r.handovers, func(at time.Time) bool { return now.Sub(at) > rateOver })
}

// settled reports whether the row may go: it is free, and no other has just had it. A lock that comes
// and goes all the time is better seen as free than not seen.
func (r *row) settled() bool {
	recent, before := 0, time.Now().Add(-rateOver).UnixMilli()
	for _, b := range r.holds {
		if b.To > before {
			recent++
		}
	}
	return recent < 3 || time.Since(r.busy) > rateOver
}

// render brings the view up to date. It reports whether it differs from what was sent, or the strip
// does.
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

// strip returns the blocks that were changed after the version, or all.
func (r *row) strip(version int64, begun bool) (holds []blockView, queue [][2]int64) {
	for _, b := range r.holds {
		if b.version > version || !begun {
			holds = append(holds, b.blockView)
		}
	}
	if !begun {
		return holds, r.queue
	}
	return holds, r.queue[max(0, len(r.queue)-1):]
}
