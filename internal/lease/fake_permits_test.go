package lease

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// fakePermits is what the scripts do with one key of permits, in Go, on the
// clock of the bubble; names are theirs.
type fakePermits struct {
	name           Name
	size, declared int64 // 0 before the first use
	used, last     int64
	waiting        int64 // as renewals see it: what the last script wrote down
	holds          map[string]*fakeHold
	line           []*fakeWaiter
}

type fakeHold struct {
	ends                     int64 // as the sorted set has it: not later than expires
	expires, weight, ttl     int64
	seen, order, given, base int64
	shared                   bool
	channel                  string
}

type fakeWaiter struct {
	token, channel                 string
	at, n, grant, ttl, want, order int64
	shared                         bool
}

func (f *fakeRedis) permitsOf(name Name) *fakePermits {
	p := f.permits[name]
	if p == nil {
		p = &fakePermits{name: name, holds: map[string]*fakeHold{}}
		f.permits[name] = p
	}
	return p
}

func nowMilli() int64 { return time.Now().UnixMilli() }

// hold returns what token holds, nil if that has run out.
func (p *fakePermits) hold(token string) *fakeHold {
	if h := p.holds[token]; h != nil && h.expires > nowMilli() {
		return h
	}
	return nil
}

func (p *fakePermits) entry(token string) *fakeWaiter {
	for _, e := range p.line {
		if e.token == token {
			return e
		}
	}
	return nil
}

func (p *fakePermits) remove(token string) {
	p.used -= p.holds[token].weight
	delete(p.holds, token)
}

func (p *fakePermits) leave(token string) {
	p.line = slices.DeleteFunc(p.line, func(e *fakeWaiter) bool { return e.token == token })
}

func (p *fakePermits) purge() (next int64, any bool) {
	ms := nowMilli()
	if len(p.line) > 0 && ms-slices.MaxFunc(p.line, func(a, b *fakeWaiter) int { return int(a.at - b.at) }).at >= EntryLife.Milliseconds() {
		p.line = nil // the keys have expired
	}
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		h := p.holds[token]
		if h.ends <= ms {
			if h.ends = h.expires; h.expires <= ms {
				p.remove(token)
				continue
			}
		}
		if !any || h.ends < next {
			next, any = h.ends, true
		}
	}
	return next, any
}

func (p *fakePermits) give(e *fakeWaiter, ttl, more int64) *fakeHold {
	h := p.holds[e.token]
	p.last = max(p.last+1, time.Now().UnixMicro())
	if h == nil {
		h = &fakeHold{ends: nowMilli() + ttl}
		p.holds[e.token] = h
	}
	h.given = e.want + more
	p.used += h.given
	h.weight += h.given
	h.expires, h.ttl = max(h.expires, nowMilli()+ttl), e.ttl
	h.seen, h.order, h.base, h.shared, h.channel = e.n, e.order, p.last, e.shared, e.channel
	if p.used > p.size {
		panic("fake: more given than there is")
	}
	return h
}

func (p *fakePermits) serve(self string) (told []message) {
	for len(p.line) > 0 {
		e := p.line[0]
		switch {
		case nowMilli()-e.at >= EntryLife.Milliseconds():
			p.leave(e.token)
		case e.want > p.size:
			p.leave(e.token)
			told = append(told, message{e.channel, Handover{Name: p.name, Token: e.token}})
		case p.used+e.want > p.size:
			return told
		default:
			p.leave(e.token)
			ttl := e.grant
			if e.token == self {
				ttl = e.ttl
			}
			h := p.give(e, ttl, 0)
			if e.token != self {
				told = append(told, message{e.channel, Handover{Name: p.name, Token: e.token, N: e.n, Order: e.order, Base: h.base, Weight: h.weight}})
			}
		}
	}
	return told
}

func (p *fakePermits) word(self string) (told []message) {
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		if h := p.holds[token]; token != self && h.shared {
			told = append(told, message{h.channel, Handover{Name: p.name, Token: token}})
		}
	}
	return told
}

// save notes what renewals read, and completes the messages.
func (p *fakePermits) save(told []message) []message {
	p.waiting = int64(len(p.line))
	for i := range told {
		told[i].Awaited = p.waiting > 0
	}
	return told
}

// answer is what a request is answered with.
type answer struct {
	Reply
	err error
}

func (f *fakeRedis) askPermits(r Request) (answer, []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	p := f.permitsOf(r.Name)
	a, told := p.ask(r)
	f.sent += len(told)
	f.log("ask %s n=%d keep=%d want=%d+%d order=%d queue=%v: %+v %v", short(r.Token), r.N, r.Keep, r.Want, r.More, r.Order, r.Queue, a.Reply, a.err)
	f.tell(p, told)
	return a, told
}

// short names a claim by its process and serial.
func short(token string) string { return token[max(0, len(token)-20):] }

func (f *fakeRedis) tell(p *fakePermits, told []message) {
	for _, m := range told {
		f.log("message to %s: n=%d order=%d weight=%d", short(m.Token), m.N, m.Order, m.Weight)
	}
	f.log("%s", p)
}

func (p *fakePermits) String() string {
	text := fmt.Sprintf("used %d of %d:", p.used, p.size)
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		h := p.holds[token]
		text += fmt.Sprintf(" %s has %d (order %d, %d ms)", short(token), h.weight, h.order, h.expires-nowMilli())
	}
	for _, e := range p.line {
		text += fmt.Sprintf(" %s awaits %d (order %d)", short(e.token), e.want, e.order)
	}
	return text
}

func (p *fakePermits) ask(r Request) (a answer, told []message) {
	ms, ttl, want := nowMilli(), r.TTL.Milliseconds(), r.Want
	queued, own := p.entry(r.Token), p.hold(r.Token)
	waits := func() bool { return len(p.line) > 0 }
	if own != nil && r.N <= own.seen || queued != nil && r.N <= queued.n { // a copy, or overtaken
		return answer{Reply: Reply{Awaited: waits(), Left: -time.Millisecond}}, nil
	}
	if r.Keep > 0 && (own == nil || own.weight < r.Keep) {
		return answer{Reply: Reply{Gone: true}}, nil
	}
	granted := want > 0 && own != nil && own.order == r.Order
	limit := p.size
	if limit == 0 {
		limit = r.Size
	}
	refused := want > 0 && !granted && (p.size > 0 && r.Size != p.size && r.Size != p.declared || want > limit)
	if refused {
		want, a.err = 0, Permanent(fmt.Errorf("%w: fake", ErrSize))
	}
	if want == 0 && own == nil && (queued == nil || p.size == 0) {
		p.leave(r.Token)
		a.Reply = Reply{Awaited: waits(), Left: -time.Millisecond}
		return a, nil
	}
	if p.size == 0 {
		p.size, p.declared = r.Size, r.Size
	}
	ends, any := p.purge()
	queued = p.entry(r.Token)
	if own != nil {
		rest := r.Keep
		if granted {
			rest += own.given
		}
		rest = min(own.weight, rest)
		p.used -= own.weight - rest
		own.weight, own.seen, own.ttl, own.expires = rest, r.N, ttl, max(own.expires, ms+ttl)
		if own.shared = r.Sharing; granted {
			own.shared = r.Shared
		}
		if rest == 0 {
			p.remove(r.Token)
		}
	}
	e := &fakeWaiter{r.Token, r.Channel, ms, r.N, r.Grant.Milliseconds(), ttl, want, r.Order, r.Shared}
	if queued != nil && (want == 0 || granted || queued.order != r.Order) {
		p.leave(r.Token)
		queued = nil
	} else if queued != nil {
		*queued = *e
	}
	told = p.serve(r.Token)
	own = p.hold(r.Token)
	if want > 0 && !granted {
		switch {
		case queued != nil:
			granted = own != nil && own.order == r.Order
		case !waits() && p.used+want <= p.size:
			own, granted = p.give(e, ttl, min(r.More, p.size-p.used-want)), true
		case r.Queue:
			p.line = append(p.line, e)
			if r.Kind == RWMutex && len(p.line) == 1 {
				told = append(told, p.word(r.Token)...)
			}
		}
	}
	told = p.save(told)
	if granted {
		a.Reply = Reply{Granted: true, Base: own.base, Awaited: waits(), Weight: own.weight, Given: own.given}
		return a, told
	}
	a.Reply = Reply{Awaited: waits(), Left: -time.Millisecond}
	if any {
		a.Left = time.Duration(ends-ms) * time.Millisecond
	}
	return a, told
}

func (f *fakeRedis) releasePermits(name Name, token string) (owned bool, told []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.permitsOf(name)
	if p.size > 0 {
		if owned = p.hold(token) != nil; p.holds[token] != nil {
			p.remove(token)
		}
		p.purge()
	}
	p.leave(token)
	if p.size > 0 {
		told = p.save(p.serve(""))
		f.sent += len(told)
	}
	f.log("release %s: %v", short(token), owned)
	f.tell(p, told)
	return owned, told
}

func (f *fakeRedis) renewPermits(r Renewal) Renewed {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewals++
	p := f.permitsOf(r.Name)
	h := p.hold(r.Token)
	f.log("renew %s: %v, %d wait", short(r.Token), h != nil, p.waiting)
	if h == nil {
		return Renewed{}
	}
	h.expires, h.ttl = max(h.expires, nowMilli()+r.TTL.Milliseconds()), max(h.ttl, r.TTL.Milliseconds())
	return Renewed{Kept: true, Awaited: p.waiting > 0}
}

func (f *fakeRedis) resize(name Name, declared, size int64) []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.permitsOf(name)
	if p.size == 0 {
		p.declared = declared
	}
	p.size = size
	p.purge()
	told := p.save(p.serve(""))
	f.sent += len(told)
	f.log("resize to %d", size)
	f.tell(p, told)
	return told
}
