package lease

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// fakePermits does in Go what the scripts do with one key of permits. It uses their names.
type fakePermits struct {
	name           Name
	size, declared int64 // 0 before the first use
	used, last     int64
	waiting        int64 // stored by the last script, read by renewals
	holds          map[string]*fakeHold
	queue          []*fakeWaiter
}

type fakeHold struct {
	ends                        int64 // the score in the sorted set, at most expires
	expires, weight, ttl        int64
	seq, wantSeq, granted, base int64
	shared                      bool
	channel                     string
}

type fakeWaiter struct {
	token, channel                           string
	at, seq, handoverTTL, ttl, want, wantSeq int64
	shared                                   bool
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

// hold returns the hold of token, or nil if it has expired.
func (p *fakePermits) hold(token string) *fakeHold {
	if h := p.holds[token]; h != nil && h.expires > nowMilli() {
		return h
	}
	return nil
}

func (p *fakePermits) entry(token string) *fakeWaiter {
	for _, e := range p.queue {
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
	p.queue = slices.DeleteFunc(p.queue, func(e *fakeWaiter) bool { return e.token == token })
}

func (p *fakePermits) purge() (next int64, any bool) {
	ms := nowMilli()
	if len(p.queue) > 0 && ms-slices.MaxFunc(p.queue, func(a, b *fakeWaiter) int { return int(a.at - b.at) }).at >= WaiterTTL.Milliseconds() {
		p.queue = nil // the keys have expired
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

func (p *fakePermits) grant(e *fakeWaiter, ttl, more int64) *fakeHold {
	h := p.holds[e.token]
	p.last = max(p.last+1, time.Now().UnixMicro())
	if h == nil {
		h = &fakeHold{ends: nowMilli() + ttl}
		p.holds[e.token] = h
	}
	h.granted = e.want + more
	p.used += h.granted
	h.weight += h.granted
	h.expires, h.ttl = max(h.expires, nowMilli()+ttl), e.ttl
	h.seq, h.wantSeq, h.base, h.shared, h.channel = e.seq, e.wantSeq, p.last, e.shared, e.channel
	if p.used > p.size {
		panic("fake: more permits granted than there are")
	}
	return h
}

func (p *fakePermits) grantWaiters(self string) (messages []message) {
	for len(p.queue) > 0 {
		e := p.queue[0]
		switch {
		case nowMilli()-e.at >= WaiterTTL.Milliseconds():
			p.leave(e.token)
		case e.want > p.size:
			p.leave(e.token)
			messages = append(messages, message{e.channel, Handover{Name: p.name, Token: e.token}})
		case p.used+e.want > p.size:
			return messages
		default:
			p.leave(e.token)
			ttl := e.handoverTTL
			if e.token == self {
				ttl = e.ttl
			}
			h := p.grant(e, ttl, 0)
			if e.token != self {
				messages = append(messages, message{e.channel, Handover{Name: p.name, Token: e.token, Seq: e.seq, WantSeq: e.wantSeq, FenceBase: h.base, Weight: h.weight}})
			}
		}
	}
	return messages
}

func (p *fakePermits) notifyShared(self string) (messages []message) {
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		if mark, _ := client.ParseMark(token); token != self && p.holds[token].shared && mark == "" {
			h := p.holds[token]
			messages = append(messages, message{h.channel, Handover{Name: p.name, Token: token}})
		}
	}
	return messages
}

// notify publishes contention notices to the holders whose tokens ask for them, if self is the
// first waiter.
func (p *fakePermits) notify(self string) (messages []message) {
	for len(p.queue) > 1 && p.queue[0].token != self && nowMilli()-p.queue[0].at >= WaiterTTL.Milliseconds() {
		p.queue = p.queue[1:]
	}
	if len(p.queue) == 0 || p.queue[0].token != self {
		return nil
	}
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		if mark, channel := client.ParseMark(token); token != self && mark != "" {
			messages = append(messages, message{channel, Handover{Name: p.name, Token: token}})
		}
	}
	return messages
}

// mayLinger reports whether a holder may linger.
func (p *fakePermits) mayLinger() bool {
	for token := range p.holds {
		if mark, _ := client.ParseMark(token); mark == lingerMark {
			return true
		}
	}
	return false
}

// save stores what renewals read, and completes the messages.
func (p *fakePermits) save(messages []message) []message {
	p.waiting = int64(len(p.queue))
	for i := range messages {
		messages[i].Contended = p.waiting > 0
	}
	return messages
}

// permitsReply is the reply to a request for permits.
type permitsReply struct {
	Reply
	err error
}

func (f *fakeRedis) updatePermits(r Request) (permitsReply, []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	p := f.permitsOf(r.Name)
	a, messages := p.update(r)
	f.messages += len(messages)
	f.log("acquire %s n=%d keep=%d want=%d+%d order=%d queue=%v: %+v %v", short(r.Token), r.Seq, r.Keep, r.Want, r.Extra, r.WantSeq, r.Enqueue, a.Reply, a.err)
	f.publish(p, messages)
	return a, messages
}

// short names a claim by its process and serial.
func short(token string) string { return token[max(0, len(token)-20):] }

func (f *fakeRedis) publish(p *fakePermits, messages []message) {
	for _, m := range messages {
		f.log("message to %s: n=%d order=%d weight=%d", short(m.Token), m.Seq, m.WantSeq, m.Weight)
	}
	f.log("%s", p)
}

func (p *fakePermits) String() string {
	text := fmt.Sprintf("used %d of %d:", p.used, p.size)
	for _, token := range slices.Sorted(maps.Keys(p.holds)) {
		h := p.holds[token]
		text += fmt.Sprintf(" %s has %d (order %d, %d ms)", short(token), h.weight, h.wantSeq, h.expires-nowMilli())
	}
	for _, e := range p.queue {
		text += fmt.Sprintf(" %s awaits %d (order %d)", short(e.token), e.want, e.wantSeq)
	}
	return text
}

func (p *fakePermits) update(r Request) (a permitsReply, messages []message) {
	ms, ttl, want := nowMilli(), r.TTL.Milliseconds(), r.Want
	queued, own := p.entry(r.Token), p.hold(r.Token)
	waits := func() bool { return len(p.queue) > 0 }
	if own != nil && r.Seq <= own.seq || queued != nil && r.Seq <= queued.seq { // a copy, or overtaken
		return permitsReply{Reply: Reply{Contended: waits(), Remaining: -time.Millisecond}}, nil
	}
	if r.Keep > 0 && (own == nil || own.weight < r.Keep) {
		return permitsReply{Reply: Reply{Lost: true}}, nil
	}
	granted := want > 0 && own != nil && own.wantSeq == r.WantSeq
	limit := p.size
	if limit == 0 {
		limit = r.Size
	}
	refused := want > 0 && !granted && (p.size > 0 && r.Size != p.size && r.Size != p.declared || want > limit)
	if refused {
		want, a.err = 0, retry.Permanent(fmt.Errorf("%w: fake", ErrSizeMismatch))
	}
	if want == 0 && own == nil && (queued == nil || p.size == 0) {
		p.leave(r.Token)
		a.Reply = Reply{Contended: waits(), Remaining: -time.Millisecond}
		return a, nil
	}
	if p.size == 0 {
		p.size, p.declared = r.Size, r.Size
	}
	ends, any := p.purge()
	queued = p.entry(r.Token)
	if own != nil {
		kept := r.Keep
		if granted {
			kept += own.granted
		}
		kept = min(own.weight, kept)
		p.used -= own.weight - kept
		own.weight, own.seq, own.ttl, own.expires = kept, r.Seq, ttl, max(own.expires, ms+ttl)
		if own.shared = r.HeldShared; granted {
			own.shared = r.WantShared
		}
		if kept == 0 {
			p.remove(r.Token)
		}
	}
	e := &fakeWaiter{r.Token, r.Channel, ms, r.Seq, r.HandoverTTL.Milliseconds(), ttl, want, r.WantSeq, r.WantShared}
	if queued != nil && (want == 0 || granted || queued.wantSeq != r.WantSeq) {
		p.leave(r.Token)
		queued = nil
	} else if queued != nil {
		*queued = *e
	}
	messages = p.grantWaiters(r.Token)
	own = p.hold(r.Token)
	if want > 0 && !granted {
		switch {
		case queued != nil:
			granted = own != nil && own.wantSeq == r.WantSeq
		case !waits() && p.used+want <= p.size:
			own, granted = p.grant(e, ttl, min(r.Extra, p.size-p.used-want)), true
		case r.Enqueue:
			p.queue = append(p.queue, e)
			if r.Kind == RWMutex && len(p.queue) == 1 {
				messages = append(messages, p.notifyShared(r.Token)...)
			}
		}
	}
	if !granted {
		messages = append(messages, p.notify(r.Token)...)
	}
	messages = p.save(messages)
	if granted {
		a.Reply = Reply{Granted: true, FenceBase: own.base, Contended: waits(), Weight: own.weight, GrantedNow: own.granted}
		return a, messages
	}
	others := slices.ContainsFunc(p.queue, func(e *fakeWaiter) bool { return e.token != r.Token })
	a.Reply = Reply{Contended: others, Remaining: -time.Millisecond, MayLinger: want > 0 && p.entry(r.Token) == nil && p.mayLinger()}
	if any {
		a.Remaining = time.Duration(ends-ms) * time.Millisecond
	}
	return a, messages
}

func (f *fakeRedis) releasePermits(name Name, token string) (owned bool, messages []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.releases++
	p := f.permitsOf(name)
	if p.size > 0 {
		if owned = p.hold(token) != nil; p.holds[token] != nil {
			p.remove(token)
		}
		p.purge()
	}
	p.leave(token)
	if p.size > 0 {
		messages = p.save(p.grantWaiters(""))
		f.messages += len(messages)
	}
	f.log("release %s: %v", short(token), owned)
	f.publish(p, messages)
	return owned, messages
}

func (f *fakeRedis) renewPermits(r Renewal) RenewResult {
	f.renewals++
	p := f.permitsOf(r.Name)
	h := p.hold(r.Token)
	f.log("renew %s: %v, %d wait", short(r.Token), h != nil, p.waiting)
	if h == nil {
		return RenewResult{}
	}
	h.expires, h.ttl = max(h.expires, nowMilli()+r.TTL.Milliseconds()), max(h.ttl, r.TTL.Milliseconds())
	return RenewResult{Held: true, Contended: p.waiting > 0, SeveralWait: p.waiting > 1}
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
	messages := p.save(p.grantWaiters(""))
	f.messages += len(messages)
	f.log("resize to %d", size)
	f.publish(p, messages)
	return messages
}
