package lease

import (
	"context"
	"maps"
	"slices"
	"time"
)

// subscriptionIdle is how long the subscription stays after the last lease and the last
// waiter have gone, so that a loop of lock and unlock keeps it.
const subscriptionIdle = 100 * time.Millisecond

// minMissedLimit is how many hand-overs in a row may be found by a poll.
const minMissedLimit = 3

// subscription is the manager's one subscription. It is opened for the first claim that
// queues and closed when nothing is held or awaited any more. The mutex of the
// manager guards it.
type subscription struct {
	cancel         context.CancelFunc // nil if there is no subscription
	active         bool
	resolved       bool       // the subscription has been made, or refused
	pendingClaims  []*claim   // they wait for resolved
	subscriber     Subscriber // nil while there is no connection for it
	channelChanges *channelChanges
	// missed counts the hand-overs that polls have found since the last message. At
	// missedLimit the subscription is replaced.
	missed, missedLimit int
	idleSince           time.Time     // since when nothing is held or awaited; zero while something is
	keep                time.Duration // for how long it stays from then on, if longer than usual
	closeTimer          *time.Timer
}

// channelChanges are changes of what one subscription hears, to be made in this order. The mutex
// of the manager guards them.
type channelChanges struct {
	ctx  context.Context // of the subscription
	next []channelChange // the first is under way
}

type channelChange struct {
	Subscriber
	channel string
	in      bool
}

// setChannel has the subscription hear the channel from now on, or not any more, if there is
// a connection for it: the next one begins with what is to be heard then. Nobody waits
// for that, because go-redis holds its lock while it redials. The manager is locked.
func (m *Manager) setChannel(channel string, in bool) {
	changes, t := m.subscription.channelChanges, m.subscription.subscriber
	if t == nil {
		return
	}
	if changes.next = append(changes.next, channelChange{t, channel, in}); len(changes.next) == 1 {
		go m.applyChannelChanges(changes)
	}
}

func (m *Manager) applyChannelChanges(changes *channelChanges) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; len(changes.next) > 0; changes.next = changes.next[1:] {
		t := changes.next[0]
		m.mu.Unlock()
		_ = t.SetChannel(changes.ctx, t.channel, t.in)
		m.mu.Lock()
	}
}

// markUsed notes that the subscription is of use.
func (s *subscription) markUsed() { s.idleSince = time.Time{} }

// scheduleClose closes the subscription when it has been of no use for a while. A timer that is set
// is left to fire, and looks again, as the renewal timer is.
func (s *subscription) scheduleClose(m *Manager) {
	if s.cancel == nil {
		return
	}
	if s.idleSince = time.Now(); s.closeTimer == nil {
		s.closeTimer = time.AfterFunc(subscriptionIdle, m.closeIfIdle)
	}
}

// closeIfIdle closes the subscription if it has been of no use for long enough.
func (m *Manager) closeIfIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.subscription
	if s.idleSince.IsZero() {
		s.closeTimer = nil // scheduleClose sets another
	} else if remaining := max(subscriptionIdle, s.keep) - time.Since(s.idleSince); remaining > 0 {
		s.closeTimer.Reset(remaining)
	} else {
		s.cancel()
		*s = subscription{}
		m.hearing.Store(0)
		m.workers.Store(nil)
	}
}

// subscribed reports whether a hand-over would be heard now.
func (m *Manager) subscribed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.subscription.active
}

// subscribeFor opens the subscription if there is none, and keeps it for a longer time than
// usual once nothing is held or awaited.
func (m *Manager) subscribeFor(keep time.Duration) {
	m.subscribe(nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscription.keep = max(m.subscription.keep, keep)
}

// subscribe opens the subscription if there is none. It reports whether it is clear if
// hand-overs will be heard. If it is not, the claim is woken when it is.
func (m *Manager) subscribe(c *claim) (resolved bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subscription.cancel == nil {
		m.subscription.missedLimit = minMissedLimit
		m.openSubscription()
	}
	if c != nil && !m.subscription.resolved {
		m.subscription.pendingClaims = append(m.subscription.pendingClaims, c)
	}
	return m.subscription.resolved
}

// openSubscription opens a subscription. The manager is locked.
func (m *Manager) openSubscription() {
	ctx, stop := context.WithCancel(context.Background())
	old := m.subscription
	m.hearing.Store(0)
	m.subscription = subscription{cancel: stop, channelChanges: &channelChanges{ctx: ctx}, missedLimit: old.missedLimit, idleSince: old.idleSince, keep: old.keep, closeTimer: old.closeTimer}
	m.workers.Store(newWorkerPool(ctx.Done()))
	go m.store.Subscribe(ctx, &subscriptionHandler{m, ctx})
}

// missed notes that a poll has found what a message should have told. After several in
// a row the subscription is replaced: it may be to a server that answers PING, but on
// which nobody publishes, such as the old master after a split brain. If that does not
// help, the next one is given twice as long. A takeover after a death counts, too: a subscription
// that is replaced needlessly costs one reconnection. No wait depends on it, because waiters poll.
func (m *Manager) missed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.subscription.active {
		return
	}
	if m.subscription.missed++; m.subscription.missed >= m.subscription.missedLimit {
		m.subscription.cancel()
		m.subscription.missedLimit *= 2
		m.openSubscription()
		go endIdle(m.lingeringClaims())
	}
}

// subscriptionHandler is what one subscription reports to. What comes after its ctx has
// ended is of no interest: another one may have taken its place.
type subscriptionHandler struct {
	manager *Manager
	ctx     context.Context
}

// Channels returns where hand-overs are told, and the ends of the generations that are
// awaited.
func (h *subscriptionHandler) Channels(t Subscriber) []string {
	m := h.manager
	m.mu.Lock()
	defer m.mu.Unlock()
	channels := []string{m.channel}
	if h.ctx.Err() != nil {
		return channels
	}
	m.subscription.subscriber = t
	for _, w := range m.watchers.Entries {
		if w.wantChannel {
			channels = append(channels, w.channel)
		}
	}
	for _, w := range m.valueWatchers.Entries {
		channels = append(channels, w.channel)
	}
	return channels
}

func (h *subscriptionHandler) Subscribed(channel string) {
	m := h.manager
	if channel == m.channel {
		h.subscriptionChanged(true)
		return
	}
	for _, w := range m.allWatchers() {
		if w.channel == channel {
			w.setSubscribed(true)
		}
	}
	m.setValueSubscribed(channel)
}

func (h *subscriptionHandler) Disconnected() {
	h.subscriptionChanged(false)
	for _, w := range h.manager.allWatchers() {
		w.setSubscribed(false)
	}
	h.manager.setValueSubscribed("")
}

// allWatchers returns the watchers of all groups.
func (m *Manager) allWatchers() []*groupWatcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.watchers.Entries))
}

// subscriptionChanged notes whether hand-overs are heard. If they are from now on, messages may
// have been missed, so every claim that waits asks once.
func (h *subscriptionHandler) subscriptionChanged(active bool) {
	for _, c := range h.manager.setSubscribed(h.ctx, active) {
		c.queue.mu.Lock()
		c.wake()
		todo := c.queue.endIdle(c)
		c.queue.mu.Unlock()
		c.queue.runAsync(todo)
	}
}

// setSubscribed notes for the subscription of ctx whether hand-overs are heard, and returns
// the claims that are to ask because of it.
func (m *Manager) setSubscribed(ctx context.Context, active bool) (wake []*claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	wake, m.subscription.pendingClaims, m.subscription.resolved = m.subscription.pendingClaims, nil, true
	if m.subscription.active = active; !active {
		m.subscription.subscriber = nil
		m.hearing.Store(0)
		wake = append(wake, m.lingeringClaims()...)
	} else {
		m.subscriptions++
		m.hearing.Store(m.subscriptions)
		now := time.Now()
		for _, c := range m.claimsByToken.Entries {
			if wake = append(wake, c); c.notified || c.queue.name.Kind == RWMutex { // leases join it without asking: see ensureNotified
				m.renewNow(c, now)
			}
		}
	}
	return wake
}

// HandleMessage passes a message to the watcher, or to the claim, that it names. A claim that is not
// known here any more was given up while a request of it was under way: it is given back.
func (h *subscriptionHandler) HandleMessage(msg Handover) {
	m := h.manager
	m.mu.Lock()
	c, w := m.claimsByToken.Entries[msg.Token], m.watchers.Entries[msg.Key]
	m.subscription.missed, m.subscription.missedLimit = 0, minMissedLimit
	if v := m.valueWatchers.Entries[msg.Key]; msg.Kind == valueKind && v != nil {
		v.wake()
	}
	m.mu.Unlock()
	if msg.Kind == valueKind {
		return
	}
	if msg.Kind == WaitGroup {
		if w != nil {
			w.handleFinished(msg.Seq, msg.Weight)
		}
		return
	}
	if c != nil {
		c.queue.handleHandover(c, msg)
		return
	}
	if msg.Seq > 0 {
		go func() {
			_ = m.releaseToken(context.Background(), msg.Name, msg.Token, time.Now().Add(3*MaxPollInterval), nil, nil)
		}()
	}
}
