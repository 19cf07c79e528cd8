package client

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

const (
	// SubscriptionIdle is how long the subscription stays after its last user has gone, so
	// that a loop of lock and unlock keeps it.
	SubscriptionIdle = 100 * time.Millisecond
	// SubscribeTimeout is how long a waiter that needs the subscription waits for it.
	SubscribeTimeout = retry.MaxInterval / 2
	// MinMissedLimit is how many messages in a row may be missed.
	MinMissedLimit = 3
)

// A Listener receives the messages of one channel. Its methods are called without a mutex of the
// client, from several goroutines.
type Listener interface {
	HandleMessage(m Message)
	// SetSubscribed notes whether messages are received from now on. Earlier ones may
	// have been lost.
	SetSubscribed(subscribed bool)
}

// MessageHandler handles the events of a subscription. Calls come from one goroutine, except those of
// HandleMessage.
type MessageHandler interface {
	// Channels returns the channels for a (re)subscription. From then on, t changes them.
	Channels(t Subscriber) []string
	// Subscribed is called when the channel has been (re)subscribed to; messages
	// before it may have been lost.
	Subscribed(channel string)
	// Disconnected is called when a subscription failed or broke.
	Disconnected()
	// HandleMessage is called with what was published on the channel.
	HandleMessage(channel string, m Message)
}

// A Subscriber adds a channel to a subscription, or removes one. The next resubscription repeats a
// change that has failed.
type Subscriber interface {
	SetChannel(ctx context.Context, channel string, in bool) error
}

// subscription is the client's one subscription. It is opened when a user needs it, and closed
// when there are no users any more. The mutex of the client guards it.
type subscription struct {
	cancel         context.CancelFunc // nil if there is no subscription
	active         bool
	resolved       bool       // the subscription has been made, or refused
	subscriber     Subscriber // nil while there is no connection for it
	channelChanges *channelChanges
	// missed counts the messages that polls have made good since the last message. At
	// missedLimit the subscription is replaced.
	missed, missedLimit int
	idleSince           time.Time     // since when there are no users; zero while there are
	keep                time.Duration // for how long it stays from then on, if longer than usual
	closeTimer          *time.Timer
}

// channelChanges are changes of the channels of one subscription, in their order. The mutex of the
// client guards them.
type channelChanges struct {
	ctx  context.Context // of the subscription
	next []channelChange // the first is under way
}

type channelChange struct {
	Subscriber
	channel string
	in      bool
}

// Listen makes l receive the messages of a channel from now on. It does not open the subscription.
func (c *Client) Listen(channel string, l Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners.Set(channel, l)
	c.setChannel(channel, true)
}

// StopListening undoes Listen.
func (c *Client) StopListening(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners.Delete(channel)
	c.setChannel(channel, false)
}

// setChannel adds the channel to the subscription, or removes it, if there is a connection for it:
// the next one begins with the present channels. No caller waits for that, because go-redis holds its
// lock while it redials. The client is locked.
func (c *Client) setChannel(channel string, in bool) {
	changes, t := c.subscription.channelChanges, c.subscription.subscriber
	if t == nil {
		return
	}
	if changes.next = append(changes.next, channelChange{t, channel, in}); len(changes.next) == 1 {
		go c.applyChannelChanges(changes)
	}
}

func (c *Client) applyChannelChanges(changes *channelChanges) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(changes.next) > 0; changes.next = changes.next[1:] {
		t := changes.next[0]
		c.mu.Unlock()
		_ = t.SetChannel(changes.ctx, t.channel, t.in)
		c.mu.Lock()
	}
}

// scheduleClose closes the subscription when it has had no users for a while. A timer that is set
// stays, and checks again, as the renewal timer does.
func (s *subscription) scheduleClose(c *Client) {
	if s.cancel == nil {
		return
	}
	s.idleSince = time.Now()
	if s.closeTimer == nil {
		s.closeTimer = time.AfterFunc(SubscriptionIdle, c.closeIfIdle)
	}
}

// closeIfIdle closes the subscription if it has had no users for long enough.
func (c *Client) closeIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.subscription
	if s.idleSince.IsZero() {
		s.closeTimer = nil // scheduleClose sets another
	} else if remaining := max(SubscriptionIdle, s.keep) - time.Since(s.idleSince); remaining > 0 {
		s.closeTimer.Reset(remaining)
	} else {
		s.cancel()
		*s = subscription{}
		c.hearing.Store(0)
		c.workers.Store(nil)
	}
}

// Subscribed reports whether a message to this process would be received now.
func (c *Client) Subscribed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subscription.active
}

// Hearing returns the number of the subscription that brings messages to this process, 0 if
// there is none.
func (c *Client) Hearing() int64 { return c.hearing.Load() }

// SubscribeFor opens the subscription if there is none, and keeps it for a longer time than
// usual once there are no users.
func (c *Client) SubscribeFor(keep time.Duration) {
	c.Subscribe()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscription.keep = max(c.subscription.keep, keep)
}

// Subscribe opens the subscription if there is none. It reports whether it is clear if
// messages will be received. If it is not, SetSubscribed is called when it is.
func (c *Client) Subscribe() (resolved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscription.cancel == nil {
		c.subscription.missedLimit = MinMissedLimit
		c.openSubscription()
	}
	return c.subscription.resolved
}

// openSubscription opens a subscription. The client is locked.
func (c *Client) openSubscription() {
	ctx, stop := context.WithCancel(context.Background())
	old := c.subscription
	c.hearing.Store(0)
	c.subscription = subscription{cancel: stop, channelChanges: &channelChanges{ctx: ctx}, missedLimit: old.missedLimit, idleSince: old.idleSince, keep: old.keep, closeTimer: old.closeTimer}
	c.workers.Store(newWorkerPool(ctx.Done()))
	go c.store.Subscribe(ctx, &subscriptionHandler{c, ctx})
}

// Missed notes that a poll has found a grant whose message was lost. After several in a row the
// subscription is replaced: its server may answer PING although nobody publishes there, such as the
// old master after a split brain. If that does not help, the next one is kept for twice as many. A
// takeover after a death counts, too: a subscription that is replaced needlessly costs one
// reconnection. No wait depends on it, because waiters poll.
func (c *Client) Missed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.subscription.active {
		return
	}
	if c.subscription.missed++; c.subscription.missed >= c.subscription.missedLimit {
		c.subscription.cancel()
		c.subscription.missedLimit *= 2
		c.openSubscription()
		go c.process.SetSubscribed(false)
	}
}

// subscriptionHandler handles the events of one subscription. After its ctx has ended it handles only
// messages: another one may have taken its place.
type subscriptionHandler struct {
	client *Client
	ctx    context.Context
}

// Channels returns the channel of the process, and those of the listeners.
func (h *subscriptionHandler) Channels(t Subscriber) []string {
	c := h.client
	c.mu.Lock()
	defer c.mu.Unlock()
	channels := []string{c.channel}
	if h.ctx.Err() != nil {
		return channels
	}
	c.subscription.subscriber = t
	return slices.AppendSeq(channels, maps.Keys(c.listeners.Entries))
}

func (h *subscriptionHandler) Subscribed(channel string) {
	c := h.client
	if channel != c.channel {
		if l := c.listener(channel); l != nil {
			l.SetSubscribed(true)
		}
	} else if c.setSubscribed(h.ctx, true) {
		c.process.SetSubscribed(true)
	}
}

func (h *subscriptionHandler) Disconnected() {
	c := h.client
	if c.setSubscribed(h.ctx, false) {
		c.process.SetSubscribed(false)
	}
	c.mu.Lock()
	listeners := slices.Collect(maps.Values(c.listeners.Entries))
	c.mu.Unlock()
	for _, l := range listeners {
		l.SetSubscribed(false)
	}
}

// listener returns the listener of the channel, nil if there is none.
func (c *Client) listener(channel string) Listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listeners.Entries[channel]
}

// setSubscribed notes for the subscription of ctx whether messages to this process are received.
// It returns false if that subscription is not the present one.
func (c *Client) setSubscribed(ctx context.Context, active bool) (present bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	c.subscription.resolved = true
	c.subscription.active = active
	if active {
		c.subscriptions++
		c.hearing.Store(c.subscriptions)
	} else {
		c.subscription.subscriber = nil
		c.hearing.Store(0)
	}
	return true
}

// HandleMessage passes a message to the listener of its channel.
func (h *subscriptionHandler) HandleMessage(channel string, m Message) {
	c := h.client
	c.mu.Lock()
	l := c.listeners.Entries[channel]
	if channel == c.channel {
		l = c.process
	}
	c.subscription.missed, c.subscription.missedLimit = 0, MinMissedLimit
	c.mu.Unlock()
	if l != nil {
		l.HandleMessage(m)
	}
}
