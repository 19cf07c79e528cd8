package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// fair is a fair weighted lock: what permits must do, without keys, clocks or
// messages that get lost. Whoever wants something goes to the end of the queue,
// and the queue is served from its front for as long as there is room.
type permitsModel struct {
	name           lease.Name
	size, declared int64 // 0: nobody has used it yet
	holds          map[string]*held
	queue          []*place
	told           []message
	noted          int  // what was written down last: how many wait
	acted          bool // the last step let in whoever could be
}

type held struct {
	weight, seen, order, given int64
	shared                     bool
	channel                    string
}

// place is the place of one who waits, with its last request.
type place struct {
	lease.Request
	dead bool
}

type message struct {
	channel, token   string
	n, order, weight int64
}

func (f *permitsModel) used() (sum int64) {
	for _, h := range f.holds {
		sum += h.weight
	}
	return sum
}

func (f *permitsModel) waiter(token string) *place {
	if i := slices.IndexFunc(f.queue, func(p *place) bool { return p.Token == token }); i >= 0 {
		return f.queue[i]
	}
	return nil
}

func (f *permitsModel) leave(token string) {
	f.queue = slices.DeleteFunc(f.queue, func(p *place) bool { return p.Token == token })
}

// update returns the reply to a statement, and the size if that is what it gets wrong.
func (f *permitsModel) update(q lease.Request) (reply lease.Reply, wrong int64) {
	f.told, f.acted = nil, false
	h, p := f.holds[q.Token], f.waiter(q.Token)
	if h != nil && q.Seq <= h.seen || p != nil && q.Seq <= p.Seq { // a newer statement stands
		return lease.Reply{Contended: len(f.queue) > 0}, 0
	}
	if q.Keep > 0 && (h == nil || h.weight < q.Keep) {
		return lease.Reply{Lost: true}, 0
	}
	has := q.Want > 0 && h != nil && h.order == q.WantSeq
	if size := max(f.size, q.Size*int64(1-min(f.size, 1))); q.Want > 0 && !has &&
		(q.Want > size || f.size > 0 && q.Size != f.size && q.Size != f.declared) {
		wrong, q.Want = size, 0
	}
	if h == nil && q.Want == 0 && (p == nil || f.size == 0) { // and so is nothing
		f.leave(q.Token)
		return lease.Reply{Contended: wrong == 0 && len(f.queue) > 0}, wrong
	}
	if f.size == 0 {
		f.size, f.declared = q.Size, q.Size
	}
	if h != nil {
		keep, shared := q.Keep, q.HeldShared
		if has {
			keep, shared = keep+h.given, q.WantShared
		}
		h.weight, h.seen, h.shared = min(h.weight, keep), q.Seq, shared
		if h.weight == 0 {
			delete(f.holds, q.Token)
		}
	}
	joins := false
	switch {
	case has || q.Want == 0:
		f.leave(q.Token)
	case p != nil && p.WantSeq == q.WantSeq:
		*p = place{Request: q}
	default:
		joins = true
		f.leave(q.Token)
		f.queue = append(f.queue, &place{Request: q})
	}
	f.serve(q.Token)
	h = f.holds[q.Token]
	switch got := h != nil && q.Want > 0 && h.order == q.WantSeq; {
	case got && !has && joins && len(f.queue) == 0:
		more := min(q.Extra, f.size-f.used())
		h.weight, h.given = h.weight+more, h.given+more
	case got || !joins:
	case !q.Enqueue:
		f.leave(q.Token)
	case f.name.Kind == lease.RWMutex && len(f.queue) == 1:
		for token, other := range f.holds {
			if other.shared && token != q.Token {
				f.told = append(f.told, message{other.channel, token, 0, 0, 0})
			}
		}
	}
	f.dropAhead(q.Token)
	f.noted = len(f.queue)
	if wrong > 0 {
		return lease.Reply{}, wrong
	}
	if h != nil && q.Want > 0 && h.order == q.WantSeq {
		return lease.Reply{Granted: true, Weight: h.weight, GrantedNow: h.given, Contended: f.noted > 0}, 0
	}
	others := slices.ContainsFunc(f.queue, func(p *place) bool { return p.Token != q.Token })
	return lease.Reply{Contended: others}, 0
}

// dropAhead drops the dead directly ahead of one who has asked and waits.
func (f *permitsModel) dropAhead(token string) {
	for i := slices.Index(f.queue, f.waiter(token)); i > 0 && f.queue[i-1].dead; i-- {
		f.queue = slices.Delete(f.queue, i-1, i)
	}
}

// serve lets in who is first for as long as there is room. Nobody tells self.
func (f *permitsModel) serve(self string) {
	for len(f.queue) > 0 {
		p := f.queue[0]
		if !p.dead && p.Want <= f.size && f.used()+p.Want > f.size {
			break
		}
		f.queue = f.queue[1:]
		m := message{channel: p.Channel, token: p.Token} // that it asks for too much
		if p.dead {
			continue
		}
		if p.Want <= f.size {
			h := f.holds[p.Token]
			if h == nil {
				h = new(held)
				f.holds[p.Token] = h
			}
			*h = held{h.weight + p.Want, p.Seq, p.WantSeq, p.Want, p.WantShared, p.Channel}
			m.n, m.order, m.weight = p.Seq, p.WantSeq, h.weight
		}
		if p.Token != self {
			f.told = append(f.told, m)
		}
	}
	f.noted, f.acted = len(f.queue), true
}

func (f *permitsModel) release(token string) (owned bool) {
	f.told, f.acted = nil, false
	f.leave(token)
	if f.size == 0 {
		return false
	}
	_, owned = f.holds[token]
	delete(f.holds, token)
	f.serve("")
	return owned
}

func (f *permitsModel) resize(declared, n int64) {
	f.told = nil
	if f.size == 0 {
		f.declared = declared
	}
	f.size = n
	f.serve("")
}

// forget is the loss of the main key: all that is left is the queue.
func (f *permitsModel) forget() { f.size, f.declared, f.holds = 0, 0, map[string]*held{} }

func (f *permitsModel) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d/%d", f.size, f.declared)
	for _, token := range slices.Sorted(maps.Keys(f.holds)) {
		h := f.holds[token]
		fmt.Fprintf(&s, " %s=%d(n%d q%d given%d %t)", short(token), h.weight, h.seen, h.order, h.given, h.shared)
	}
	s.WriteString(" queue")
	for _, p := range f.queue {
		fmt.Fprintf(&s, " %s+%d(n%d q%d %t)", short(p.Token), p.Want, p.Seq, p.WantSeq, p.WantShared)
	}
	return s.String()
}
