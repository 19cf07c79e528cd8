package lease

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// fakeRedis does in Go what the scripts do, on the clock of the bubble.
type fakeRedis struct {
	mu    sync.Mutex
	keys  map[Name]*fakeKey
	subs  map[string][]client.MessageHandler // by channel
	group fakeGroup
	counts
	log func(format string, args ...any) // called under mu
}

// counts are what was executed and published.
type counts struct{ requests, releases, renewals, messages int }

func newFakeRedis() *fakeRedis {
	f := &fakeRedis{keys: map[Name]*fakeKey{}, subs: map[string][]client.MessageHandler{}, log: func(string, ...any) {}}
	f.group.replies = map[string]taskgroup.UpdateReply{}
	return f
}

func (f *fakeRedis) counted() counts { return locked(&f.mu, func() counts { return f.counts }) }

// A fakeKey is a key of permits. That of a Mutex has one permit.
type fakeKey struct {
	name           Name
	size, declared int64 // 0 before the first use
	last           int64 // fence base
	holds          map[string]*fakeHold
	queue          []*fakeWaiter
	value          *Value // beside a Mutex
}

type fakeHold struct {
	Request       // that was granted, with the number of the last
	expires       time.Time
	weight, added int64 // in all, and by the last grant
	base          int64
	shared        bool
}

type fakeWaiter struct {
	Request // the last
	seen    time.Time
}

// message is a message on its way to a channel.
type message struct {
	channel string
	Handover
}

// key returns a key without holds and waiters that have expired.
func (f *fakeRedis) key(name Name) *fakeKey {
	k := f.keys[name]
	if k == nil {
		k = &fakeKey{name: name, holds: map[string]*fakeHold{}}
		if name.Kind == Mutex {
			k.size = 1
		}
		f.keys[name] = k
	}
	maps.DeleteFunc(k.holds, func(_ string, h *fakeHold) bool { return time.Until(h.expires) <= 0 })
	k.queue = slices.DeleteFunc(k.queue, func(w *fakeWaiter) bool { return time.Since(w.seen) >= WaiterTTL })
	return k
}

// execute runs a script on a key.
func (f *fakeRedis) execute(name Name, what any, script func(k *fakeKey) []message) []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.key(name)
	messages := script(k)
	f.messages += len(messages)
	for i := range messages {
		messages[i].Contended = len(k.queue) > 0
		f.log("message to %s: n=%d order=%d weight=%d", short(messages[i].Token), messages[i].Seq, messages[i].WantSeq, messages[i].Weight)
	}
	f.log("%v: %d of %d used, %d wait", what, k.used(), k.size, len(k.queue))
	return messages
}

// short names a claim by its process and serial.
func short(token string) string { return token[max(0, len(token)-20):] }

func (k *fakeKey) String() string {
	text := fmt.Sprintf("%s: used %d of %d:", k.name.Key, k.used(), k.size)
	for token, h := range k.holds {
		text += fmt.Sprintf(" %s has %d (order %d, %v)", short(token), h.weight, h.WantSeq, time.Until(h.expires))
	}
	for _, w := range k.queue {
		text += fmt.Sprintf(" %s awaits %d (order %d)", short(w.Token), w.Want, w.WantSeq)
	}
	return text
}

func (k *fakeKey) used() (sum int64) {
	for _, h := range k.holds {
		sum += h.weight
	}
	return sum
}

func (k *fakeKey) waiter(token string) *fakeWaiter {
	i := slices.IndexFunc(k.queue, func(w *fakeWaiter) bool { return w.Token == token })
	if i < 0 {
		return nil
	}
	return k.queue[i]
}

func (k *fakeKey) leave(token string) {
	k.queue = slices.DeleteFunc(k.queue, func(w *fakeWaiter) bool { return w.Token == token })
}

func (h *fakeHold) extend(ttl time.Duration) {
	if ttl > time.Until(h.expires) {
		h.expires = time.Now().Add(ttl)
	}
}

func (k *fakeKey) grant(r Request, ttl time.Duration, extra int64) *fakeHold {
	k.last = max(k.last+1, time.Now().UnixMicro())
	h := k.holds[r.Token]
	if h == nil {
		h = new(fakeHold)
		k.holds[r.Token] = h
	}
	h.Request, h.base, h.added, h.shared = r, k.last, r.Want+extra, r.WantShared
	h.weight += h.added
	h.extend(ttl)
	if k.used() > k.size {
		panic("fake: more permits granted than there are")
	}
	return h
}

// grantWaiters grants what fits, in order. The waiter self gets no message.
func (k *fakeKey) grantWaiters(self string) (messages []message) {
	for len(k.queue) > 0 {
		w := k.queue[0]
		if w.Want <= k.size && k.used()+w.Want > k.size {
			break
		}
		k.queue = k.queue[1:]
		m := message{w.Channel, Handover{Name: k.name, Token: w.Token}}
		switch {
		case w.Want > k.size: // it must ask again
		case w.Token == self:
			k.grant(w.Request, w.TTL, 0)
			continue
		default:
			h := k.grant(w.Request, w.HandoverTTL, 0)
			m.Seq, m.WantSeq, m.FenceBase, m.Weight = w.Seq, w.WantSeq, h.base, h.weight
		}
		messages = append(messages, m)
	}
	return messages
}

// notify publishes contention notices if self is the first waiter: to the holders whose tokens ask
// for them, and to those that share the key when self joins the queue.
func (k *fakeKey) notify(self string, joins bool) (messages []message) {
	if len(k.queue) == 0 || k.queue[0].Token != self {
		return nil
	}
	for _, token := range slices.Sorted(maps.Keys(k.holds)) {
		if mark, channel := client.ParseMark(token); token != self && (mark != "" || joins && k.holds[token].shared) {
			messages = append(messages, message{channel, Handover{Name: k.name, Token: token}})
		}
	}
	return messages
}

// acquire does what mutex_acquire.lua, mutex_yield.lua and permits_update.lua do.
func (k *fakeKey) acquire(r Request) (reply Reply, messages []message, err error) {
	own, queued := k.holds[r.Token], k.waiter(r.Token)
	mutex := k.name.Kind == Mutex
	granted := r.Want > 0 && own != nil && own.WantSeq == r.WantSeq
	switch {
	case !mutex && (own != nil && r.Seq <= own.Seq || queued != nil && r.Seq <= queued.Seq): // a copy, or overtaken
		return Reply{Contended: len(k.queue) > 0, Remaining: -1}, nil, nil
	case mutex && r.Replaces != "" && k.holds[r.Replaces] == nil && own == nil && queued == nil, !mutex && r.Keep > 0 && (own == nil || own.weight < r.Keep):
		return Reply{Lost: true}, nil, nil
	case !mutex && r.Want > 0 && !granted && (k.size > 0 && r.Size != k.size && r.Size != k.declared || r.Want > cmp.Or(k.size, r.Size)):
		r.Want, err = 0, retry.Permanent(fmt.Errorf("%w: fake", ErrSizeMismatch))
	}
	if k.size == 0 && r.Want > 0 {
		k.size, k.declared = r.Size, r.Size
	}
	delete(k.holds, r.Replaces)
	if own != nil {
		kept := r.Keep
		if granted {
			kept += own.added
		}
		own.weight, own.Seq, own.shared = min(own.weight, kept), r.Seq, granted && r.WantShared || !granted && r.HeldShared
		if own.extend(r.TTL); own.weight == 0 {
			delete(k.holds, r.Token)
		}
	}
	if queued != nil && r.Want > 0 && !granted && queued.WantSeq == r.WantSeq {
		*queued = fakeWaiter{r, time.Now()}
	} else {
		k.leave(r.Token)
		queued = nil
	}
	messages = k.grantWaiters(r.Token)
	own = k.holds[r.Token]
	joins := false
	switch {
	case r.Want == 0 || granted:
	case queued != nil:
		granted = own != nil && own.WantSeq == r.WantSeq
	case len(k.queue) == 0 && k.used()+r.Want <= k.size:
		own, granted = k.grant(r, r.TTL, min(r.Extra, k.size-k.used()-r.Want)), true
	case r.Enqueue:
		k.queue = append(k.queue, &fakeWaiter{r, time.Now()})
		joins = len(k.queue) == 1
	}
	if granted {
		return Reply{Granted: true, FenceBase: own.base, Contended: len(k.queue) > 0, Weight: own.weight, GrantedNow: own.added}, messages, err
	}
	reply.Remaining = -1
	for token, h := range k.holds {
		if left := time.Until(h.expires); reply.Remaining < 0 || left < reply.Remaining {
			reply.Remaining = left
		}
		mark, _ := client.ParseMark(token)
		reply.MayLinger = reply.MayLinger || mark == lingerMark
	}
	reply.Contended = slices.ContainsFunc(k.queue, func(w *fakeWaiter) bool { return w.Token != r.Token })
	return reply, append(messages, k.notify(r.Token, joins)...), err
}

func (k *fakeKey) release(token string) (owned bool, messages []message) {
	owned = k.holds[token] != nil
	delete(k.holds, token)
	k.leave(token)
	return owned, k.grantWaiters("")
}

func (f *fakeRedis) renew(r Renewal) RenewResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.key(r.Name)
	h := k.holds[r.Token]
	if f.log("renew %s: %v", short(r.Token), h != nil); h == nil {
		return RenewResult{}
	}
	f.renewals++
	h.extend(r.TTL)
	return RenewResult{Held: true, Contended: len(k.queue) > 0 && (r.Contention || r.Kind != Mutex), SeveralWait: len(k.queue) > 1, NoValue: r.Value && k.value == nil}
}

func (f *fakeRedis) resize(name Name, declared, size int64) []message {
	return f.execute(name, fmt.Sprint("resize to ", size), func(k *fakeKey) []message {
		if k.size == 0 {
			k.declared = declared
		}
		k.size = size
		return k.grantWaiters("")
	})
}
