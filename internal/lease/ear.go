package lease

import (
	"context"
	"maps"
	"slices"
	"time"
)

// linger is how long the subscription stays after the last lease and the last
// waiter have gone, so that a loop of lock and unlock keeps it.
const linger = 100 * time.Millisecond

// ear is the keeper's one subscription. It is opened for the first claim that
// queues and closed when nothing is held or awaited any more. The mutex of the
// keeper guards it.
type ear struct {
	stop  context.CancelFunc // nil if there is no subscription
	hears bool
	clear bool     // that it is so: the subscription has been made, or refused
	asked []*claim // that wait for this to be clear
	tuner Tuner    // nil while there is no connection for it
	tunes *tunes
	rest  time.Time // since when nothing is held or awaited; zero while something is
	close *time.Timer
}

// tunes are changes of what one subscription hears, to be made in this order. The mutex
// of the keeper guards them.
type tunes struct {
	ctx  context.Context // of the subscription
	next []tune          // the first is under way
}

type tune struct {
	Tuner
	channel string
	in      bool
}

// tune has the subscription hear the channel from now on, or not any more, if there is
// a connection for it: the next one begins with what is to be heard then. Nobody waits
// for that, because go-redis holds its lock while it redials. The keeper is locked.
func (k *Keeper) tune(channel string, in bool) {
	q, t := k.ear.tunes, k.ear.tuner
	if t == nil {
		return
	}
	if q.next = append(q.next, tune{t, channel, in}); len(q.next) == 1 {
		go k.tuneAll(q)
	}
}

func (k *Keeper) tuneAll(q *tunes) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ; len(q.next) > 0; q.next = q.next[1:] {
		t := q.next[0]
		k.mu.Unlock()
		_ = t.Tune(q.ctx, t.channel, t.in)
		k.mu.Lock()
	}
}

// keep notes that the subscription is of use.
func (e *ear) keep() { e.rest = time.Time{} }

// linger closes the subscription when it has been of no use for a while. A timer that is set
// is left to fire, and looks again, as that of the clock.
func (e *ear) linger(k *Keeper) {
	if e.stop == nil {
		return
	}
	if e.rest = time.Now(); e.close == nil {
		e.close = time.AfterFunc(linger, k.hush)
	}
}

// hush closes the subscription, if it has lingered.
func (k *Keeper) hush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := &k.ear
	if e.rest.IsZero() {
		e.close = nil // linger sets another
	} else if left := linger - time.Since(e.rest); left > 0 {
		e.close.Reset(left)
	} else {
		e.stop()
		*e = ear{}
		k.crew.Store(nil)
	}
}

// hears reports whether a hand-over would be heard now.
func (k *Keeper) hears() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ear.hears
}

// listen opens the subscription if there is none. It reports whether it is clear if
// hand-overs will be heard. If it is not, the claim is woken when it is.
func (k *Keeper) listen(c *claim) (clear bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ear.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		k.ear = ear{stop: stop, tunes: &tunes{ctx: ctx}}
		k.crew.Store(newCrew(ctx.Done()))
		go k.store.Listen(ctx, &hearing{k, ctx})
	}
	if c != nil && !k.ear.clear {
		k.ear.asked = append(k.ear.asked, c)
	}
	return k.ear.clear
}

// hearing is what one subscription reports to. What comes after its ctx has
// ended is of no interest: another one may have taken its place.
type hearing struct {
	keeper *Keeper
	ctx    context.Context
}

// Channels returns where hand-overs are told, and the ends of the rounds that are
// awaited.
func (h *hearing) Channels(t Tuner) []string {
	k := h.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	channels := []string{k.channel}
	if h.ctx.Err() != nil {
		return channels
	}
	k.ear.tuner = t
	for _, w := range k.watches.M {
		if w.tuned {
			channels = append(channels, w.topic)
		}
	}
	return channels
}

func (h *hearing) Subscribed(channel string) {
	k := h.keeper
	if channel == k.channel {
		h.now(true)
		return
	}
	for _, w := range k.watching() {
		if w.topic == channel {
			w.hear(true)
		}
	}
}

func (h *hearing) Deaf() {
	h.now(false)
	for _, w := range h.keeper.watching() {
		w.hear(false)
	}
}

// watching returns all watches.
func (k *Keeper) watching() []*watch {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.watches.M))
}

// now notes whether hand-overs are heard. If they are from now on, messages may
// have been missed, so every claim that waits asks once.
func (h *hearing) now(hears bool) {
	for _, c := range h.keeper.tuned(h.ctx, hears) {
		c.line.mu.Lock()
		c.wake()
		c.line.mu.Unlock()
	}
}

// tuned notes for the subscription of ctx whether hand-overs are heard, and returns
// the claims that are to ask because of it.
func (k *Keeper) tuned(ctx context.Context, hears bool) (ask []*claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	if k.ear.hears = hears; !hears {
		k.ear.tuner = nil
	}
	ask, k.ear.asked, k.ear.clear = k.ear.asked, nil, true
	if hears {
		now := time.Now()
		for _, c := range k.expected.M {
			if ask = append(ask, c); c.line.name.Kind == RWMutex { // leases join it without asking: see hearken
				k.hasten(c, now)
			}
		}
	}
	return ask
}

// Heard passes a message to the watch, or to the claim, that it names. One that is not known here
// any more was given up while a request of it was under way: it is given back.
func (h *hearing) Heard(m Handover) {
	k := h.keeper
	k.mu.Lock()
	c, w := k.expected.M[m.Token], k.watches.M[m.Key]
	k.mu.Unlock()
	if m.Kind == WaitGroup {
		if w != nil {
			w.over(m.N, m.Weight)
		}
		return
	}
	if c != nil {
		c.line.heard(c, m)
		return
	}
	if m.N > 0 {
		go func() { _ = k.giveBack(context.Background(), m.Name, m.Token, time.Now().Add(3*PollBound), nil, nil) }()
	}
}
