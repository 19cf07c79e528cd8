package lease

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
)

// Subscribe subscribes again whenever the subscription is lost.
func (s *fakeStore) Subscribe(ctx context.Context, l client.MessageHandler) {
	for ctx.Err() == nil {
		to := s.subscribe(ctx)
		if to == nil {
			return
		}
		c := &fakeConnection{l, to, make(chan string, 10), make(chan struct{})}
		channels := l.Channels(c)
		to.travel()
		for _, channel := range channels {
			c.setChannel(channel, true)
		}
		c.serve(ctx)
		if ctx.Err() == nil {
			l.Disconnected()
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// fakeConnection is one subscription, to any channels, until it breaks.
type fakeConnection struct {
	client.MessageHandler
	store  *fakeStore
	acks   chan string   // channels that are about to be acknowledged
	broken chan struct{} // closed when the connection breaks
}

// serve acknowledges subscriptions until the connection breaks, or ctx ends.
func (c *fakeConnection) serve(ctx context.Context) {
	for broken := false; !broken; {
		select {
		case channel := <-c.acks:
			if broken = c.store.point("subscribed") == cut; !broken {
				c.Subscribed(channel)
			}
		case <-ctx.Done():
			broken = true
		case <-c.store.disconnect:
			broken = true
		}
	}
	r := c.store.redis
	r.mu.Lock()
	defer r.mu.Unlock()
	close(c.broken)
	for channel := range r.subs {
		c.remove(channel)
	}
}

// remove unsubscribes from a channel. The server is locked.
func (c *fakeConnection) remove(channel string) {
	r := c.store.redis
	r.subs[channel] = slices.DeleteFunc(r.subs[channel], func(l client.MessageHandler) bool { return l == client.MessageHandler(c) })
	if len(r.subs[channel]) == 0 {
		delete(r.subs, channel)
	}
}

// setChannel adds or removes a channel of this connection.
func (c *fakeConnection) setChannel(channel string, in bool) {
	r := c.store.redis
	r.mu.Lock()
	select {
	case <-c.broken:
		r.mu.Unlock()
		return
	default:
	}
	if in {
		r.subs[channel] = append(r.subs[channel], c)
	} else {
		c.remove(channel)
	}
	r.log("subscribed to %s: %v", channel, in)
	r.mu.Unlock()
	if in {
		select {
		case c.acks <- channel:
		case <-c.broken:
		}
	}
}

// SetChannel takes time, and may break the connection.
func (c *fakeConnection) SetChannel(ctx context.Context, channel string, in bool) error {
	s := c.store
	s.redial(ctx, in)
	s.travel()
	if locked(&s.mu, func() fault { return s.fault() }) != fine {
		time.Sleep(s.lag(time.Second))
		select {
		case s.disconnect <- struct{}{}:
		case <-c.broken:
		}
		return errors.New("fake: the subscription broke")
	}
	c.setChannel(channel, in)
	return nil
}

// HandleMessage delivers a message, which may be lost, delayed or duplicated.
func (c *fakeConnection) HandleMessage(channel string, h Handover) {
	again := func() {
		time.AfterFunc(c.store.lag(2*time.Second), func() { c.MessageHandler.HandleMessage(channel, h) })
	}
	switch c.store.point("message") {
	case lostMessage, cut:
		return
	case duplicatedMessage:
		again()
	case delayedMessage:
		again()
		return
	}
	c.MessageHandler.HandleMessage(channel, h)
}
