package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// fair is a fair weighted lock: what permits must do, without keys, clocks or
// messages that get lost. Whoever wants something goes to the end of the line,
// and the line is served from its front for as long as there is room.
type fair struct {
	name           lease.Name
	size, declared int64 // 0: nobody has used it yet
	holds          map[string]*held
	line           []*place
	told           []message
	noted          bool // what was written down last: somebody waits
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

func (f *fair) used() (sum int64) {
	for _, h := range f.holds {
		sum += h.weight
	}
	return sum
}

func (f *fair) waiter(token string) *place {
	if i := slices.IndexFunc(f.line, func(p *place) bool { return p.Token == token }); i >= 0 {
		return f.line[i]
	}
	return nil
}

func (f *fair) leave(token string) {
	f.line = slices.DeleteFunc(f.line, func(p *place) bool { return p.Token == token })
}

// ask returns the reply to a statement, and the size if that is what it gets wrong.
func (f *fair) ask(q lease.Request) (reply lease.Reply, wrong int64) {
	f.told, f.acted = nil, false
	h, p := f.holds[q.Token], f.waiter(q.Token)
	if h != nil && q.N <= h.seen || p != nil && q.N <= p.N { // a newer statement stands
		return lease.Reply{Awaited: len(f.line) > 0}, 0
	}
	if q.Keep > 0 && (h == nil || h.weight < q.Keep) {
		return lease.Reply{Gone: true}, 0
	}
	has := q.Want > 0 && h != nil && h.order == q.Order
	if size := max(f.size, q.Size*int64(1-min(f.size, 1))); q.Want > 0 && !has &&
		(q.Want > size || f.size > 0 && q.Size != f.size && q.Size != f.declared) {
		wrong, q.Want = size, 0
	}
	if h == nil && q.Want == 0 && (p == nil || f.size == 0) { // and so is nothing
		f.leave(q.Token)
		return lease.Reply{Awaited: wrong == 0 && len(f.line) > 0}, wrong
	}
	if f.size == 0 {
		f.size, f.declared = q.Size, q.Size
	}
	if h != nil {
		keep, shared := q.Keep, q.Sharing
		if has {
			keep, shared = keep+h.given, q.Shared
		}
		h.weight, h.seen, h.shared = min(h.weight, keep), q.N, shared
		if h.weight == 0 {
			delete(f.holds, q.Token)
		}
	}
	joins := false
	switch {
	case has || q.Want == 0:
		f.leave(q.Token)
	case p != nil && p.Order == q.Order:
		*p = place{Request: q}
	default:
		joins = true
		f.leave(q.Token)
		f.line = append(f.line, &place{Request: q})
	}
	f.serve(q.Token)
	h = f.holds[q.Token]
	switch got := h != nil && q.Want > 0 && h.order == q.Order; {
	case got && !has && joins && len(f.line) == 0:
		more := min(q.More, f.size-f.used())
		h.weight, h.given = h.weight+more, h.given+more
	case got || !joins:
	case !q.Queue:
		f.leave(q.Token)
	case f.name.Kind == lease.RWMutex && len(f.line) == 1:
		for token, other := range f.holds {
			if other.shared && token != q.Token {
				f.told = append(f.told, message{other.channel, token, 0, 0, 0})
			}
		}
	}
	f.dropAhead(q.Token)
	f.noted = len(f.line) > 0
	if wrong > 0 {
		return lease.Reply{}, wrong
	}
	if h != nil && q.Want > 0 && h.order == q.Order {
		return lease.Reply{Granted: true, Weight: h.weight, Given: h.given, Awaited: f.noted}, 0
	}
	return lease.Reply{Awaited: f.noted}, 0
}

// dropAhead drops the dead directly ahead of one who has asked and waits.
func (f *fair) dropAhead(token string) {
	for i := slices.Index(f.line, f.waiter(token)); i > 0 && f.line[i-1].dead; i-- {
		f.line = slices.Delete(f.line, i-1, i)
	}
}

// serve lets in who is first for as long as there is room. Nobody tells self.
func (f *fair) serve(self string) {
	for len(f.line) > 0 {
		p := f.line[0]
		if !p.dead && p.Want <= f.size && f.used()+p.Want > f.size {
			break
		}
		f.line = f.line[1:]
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
			*h = held{h.weight + p.Want, p.N, p.Order, p.Want, p.Shared, p.Channel}
			m.n, m.order, m.weight = p.N, p.Order, h.weight
		}
		if p.Token != self {
			f.told = append(f.told, m)
		}
	}
	f.noted, f.acted = len(f.line) > 0, true
}

func (f *fair) release(token string) (owned bool) {
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

func (f *fair) resize(declared, n int64) {
	f.told = nil
	if f.size == 0 {
		f.declared = declared
	}
	f.size = n
	f.serve("")
}

// forget is the loss of the main key: all that is left is the line.
func (f *fair) forget() { f.size, f.declared, f.holds = 0, 0, map[string]*held{} }

func (f *fair) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d/%d", f.size, f.declared)
	for _, token := range slices.Sorted(maps.Keys(f.holds)) {
		h := f.holds[token]
		fmt.Fprintf(&s, " %s=%d(n%d q%d given%d %t)", short(token), h.weight, h.seen, h.order, h.given, h.shared)
	}
	s.WriteString(" line")
	for _, p := range f.line {
		fmt.Fprintf(&s, " %s+%d(n%d q%d %t)", short(p.Token), p.Want, p.N, p.Order, p.Shared)
	}
	return s.String()
}
