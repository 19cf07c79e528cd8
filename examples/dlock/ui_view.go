package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/seed-3d5fec5c/baton/mutex"
)

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
)

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

// next returns the view of the same key after an Inspect. Times that differ by less than the precision
// of Inspect do not change, so that the page draws them steadily.
func (v rowView) next(s status, at time.Time) rowView {
	next := rowView{ID: v.ID, Name: v.Name, Kind: s.Kind, Detail: s.Detail, More: s.More, Waiters: s.Waiters}
	for _, h := range s.Holders {
		hv := holderView{ownerView: viewOf(h.Owner, h.As), Token: h.Token}
		if h.Fence > 0 {
			hv.Fence = strconv.FormatInt(h.Fence, 10)
		}
		if h.Remaining >= 0 {
			hv.Until, hv.TTL = at.Add(h.Remaining).UnixMilli(), h.Remaining.Milliseconds()
		}
		if i := slices.IndexFunc(v.Holders, func(b holderView) bool { return b.Token == h.Token }); i >= 0 {
			hv.TTL = max(hv.TTL, v.Holders[i].TTL)
			hv.Until = steady(v.Holders[i].Until, hv.Until, 100)
		}
		next.Holders = append(next.Holders, hv)
	}
	for _, w := range s.Queue {
		next.Queue = append(next.Queue, viewOf(w.Owner, w.As))
	}
	if l := s.Limiter; l != nil {
		next.Detail = ""
		next.Limiter = &limiterView{Limit: min(float64(l.Limit), 1e300), Burst: l.Burst}
		if l.Limit > 0 {
			ms := math.Max(-1e15, math.Min((l.Tokens-l.Reserved)/float64(l.Limit)*1000, 1e15))
			next.Limiter.Empty = at.UnixMilli() - int64(ms)
		}
		if v.Limiter != nil {
			next.Limiter.Empty = steady(v.Limiter.Empty, next.Limiter.Empty, 20)
		}
	}
	return next
}

// steady returns the time before, in ms, if now is close to it.
func steady(before, now, precision int64) int64 {
	if moved := now - before; moved > -precision && moved < precision {
		return before
	}
	return now
}
