package redisstore

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// retryNodeAfter is for how long a process does without a subscription to a node that has ended.
const retryNodeAfter = time.Second

// nodeChannel returns the channel that stands for the given one on the node of the key. What is
// published there goes to that node only, and on other channels to all nodes of a cluster.
func nodeChannel(channel, key string) string {
	return "baton:@{" + tagOfSlot(slot(key)) + "}:" + strings.TrimPrefix(channel, "baton:")
}

// plainChannel returns the channel for which a nodeChannel stands.
func plainChannel(name string) string {
	_, rest, _ := strings.Cut(name, "}:")
	return "baton:" + rest
}

// publishedOn returns the channel on which scripts publish for the subscribers of a key's channel.
func (s *Store) publishedOn(channel any) any {
	if s.transport.cluster == nil {
		return channel
	}
	return nodeChannel(channel.(string), channel.(string))
}

// nodeSubscriptions are the subscriptions of a process to single nodes of a cluster. Plain channels
// have a subscription of their own. That to a node receives the process's channel there, which waiters
// and tokens name, and the channels of the keys whose slots the node serves.
type nodeSubscriptions struct {
	store   *Store
	ctx     context.Context
	end     context.CancelFunc // of the subscription to plain channels
	handler client.MessageHandler
	running *sync.WaitGroup // of the store's subscriptions: a silent node may delay its end

	notifying sync.RWMutex // read-locked while the handler is notified

	mu     sync.Mutex
	byAddr map[string]*nodeSubscription // nil after close
	keys   map[string]*nodeSubscription // plain channels of keys; nil while no node has been found
}

type nodeSubscription struct {
	channel  string        // of the process, on this node
	tag      string        // in its name
	resolved chan struct{} // closed when it is subscribed to, or that has failed
	sub      *redis.PubSub // set before active
	active   atomic.Bool
	changing sync.Mutex // held while channels of keys are changed
}

// handoverChannel returns the channel on which a hand-over to the waiter is published. If there is no
// subscription to the key's node, it begins one and waits for it. It does not wait for a silent node,
// nor for a large part of the TTL: the trust window has begun.
func (s *Store) handoverChannel(ctx context.Context, r lease.Request) string {
	if !r.Enqueue && !r.WantShared { // only waiters and readers get messages
		return r.Channel
	}
	c := s.nodeSubscription(ctx, r.Key)
	if c == nil {
		return r.Channel
	}
	if r.Enqueue && !r.FailFast && !c.active.Load() {
		select {
		case <-c.resolved:
		case <-ctx.Done():
		case <-time.After(min(connTimeout, r.TTL/10)):
		}
	}
	if !c.active.Load() {
		return r.Channel
	}
	return c.channel
}

// NodeTag is [lease.Store]'s.
func (s *Store) NodeTag(key string) string {
	if !s.transport.knowsNodes() { // the client may have to ask for the slots first
		return ""
	}
	if c := s.nodeSubscription(context.Background(), key); c != nil && c.active.Load() {
		return c.tag
	}
	return ""
}

// nodeSubscription returns the subscription to the node of the key, which it begins if there is none
// yet. It returns nil if the server is not a cluster, or the process has no subscription.
func (s *Store) nodeSubscription(ctx context.Context, key string) *nodeSubscription {
	all := s.nodes.Load()
	if all == nil {
		return nil
	}
	node, err := s.transport.master(ctx, key)
	if err != nil {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.of(node, key)
}

// of returns the subscription to the node of the key, or nil after close. n is locked.
func (n *nodeSubscriptions) of(node *redis.Client, key string) *nodeSubscription {
	addr := node.Options().Addr
	c := n.byAddr[addr]
	if c == nil && n.byAddr != nil {
		c = &nodeSubscription{channel: nodeChannel(n.store.manager.Channel(), key), tag: tagOfSlot(slot(key)), resolved: make(chan struct{})}
		n.byAddr[addr] = c
		n.running.Go(func() { n.listen(node, addr, c) })
	}
	return c
}

// listen keeps a subscription until the slot of its tag moves, or it breaks. Then its waiters and
// observers ask Redis, since messages may be lost. They use plain channels until the next one begins.
func (n *nodeSubscriptions) listen(node *redis.Client, addr string, c *nodeSubscription) {
	resolve := sync.OnceFunc(func() { close(c.resolved) })
	moved := false
	err := listen(n.ctx, func() (*redis.PubSub, error) {
		c.sub = node.SSubscribe(context.Background())
		return c.sub, c.sub.SSubscribe(n.ctx, c.channel)
	}, func(event any) bool {
		switch event := event.(type) {
		case *redis.Subscription:
			subscribed := event.Kind == "ssubscribe"
			if event.Channel != c.channel {
				n.noteKey(c, plainChannel(event.Channel), subscribed)
				return true
			}
			c.active.Store(subscribed)
			resolve()
			if moved = !subscribed; subscribed {
				n.running.Go(func() { n.updateKeys(c) })
			}
			return subscribed
		case *redis.Message:
			handleMessage(n.handler, plainChannel(event.Channel), event.Payload)
		}
		return true
	})
	broke := c.active.Swap(false)
	resolve()
	if n.ctx.Err() != nil {
		return
	}
	if broke {
		n.notify(n.store.manager.Channel())
	}
	for _, channel := range n.keysOf(c) {
		n.notify(channel)
	}
	if redis.HasErrorPrefix(err, "unknown command") || redis.HasErrorPrefix(err, "NOPERM") {
		return // the server has no such channels: c stays, so that no other subscription is tried
	}
	if moved || redis.HasErrorPrefix(err, "MOVED") {
		n.store.transport.cluster.ReloadState(n.ctx)
	}
	n.pause()
	n.mu.Lock()
	delete(n.byAddr, addr)
	n.mu.Unlock()
	for _, channel := range n.keysOf(c) {
		n.moveKey(c, channel)
	}
}

// pause waits before another subscription is tried.
func (n *nodeSubscriptions) pause() {
	select {
	case <-time.After(retryNodeAfter):
	case <-n.ctx.Done():
	}
}

// setKey follows the subscription to plain channels, which has added or removed a channel of a key:
// it adds or removes the channel on the node of the key.
func (n *nodeSubscriptions) setKey(channel string, in bool) {
	n.mu.Lock()
	c, known := n.keys[channel]
	if in && !known {
		n.keys[channel] = nil
	} else if !in {
		delete(n.keys, channel)
	}
	n.mu.Unlock()
	switch {
	case in && !known:
		n.running.Go(func() { n.place(channel) })
	case !in && c != nil:
		n.running.Go(func() { n.updateKey(c, channel) })
	}
}

// place adds the channel of a key to the subscription to the key's node.
func (n *nodeSubscriptions) place(channel string) {
	node, err := n.store.transport.master(n.ctx, channel)
	for ; err != nil; node, err = n.store.transport.master(n.ctx, channel) {
		if n.pause(); n.ctx.Err() != nil {
			return
		}
	}
	n.mu.Lock()
	c, known := n.keys[channel]
	if !known || c != nil {
		n.mu.Unlock()
		return
	}
	if c = n.of(node, channel); c != nil {
		n.keys[channel] = c
	}
	n.mu.Unlock()
	if c != nil {
		n.updateKey(c, channel)
	}
}

// keysOf returns the channels of keys that belong to the subscription.
func (n *nodeSubscriptions) keysOf(c *nodeSubscription) (channels []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for channel, of := range n.keys {
		if of == c {
			channels = append(channels, channel)
		}
	}
	return channels
}

func (n *nodeSubscriptions) updateKeys(c *nodeSubscription) {
	for _, channel := range n.keysOf(c) {
		n.updateKey(c, channel)
	}
}

// updateKey adds the channel of a key to the subscription, or removes it, as keys states. Before the
// subscription has begun it does nothing: updateKeys follows.
func (n *nodeSubscriptions) updateKey(c *nodeSubscription, channel string) {
	c.changing.Lock()
	defer c.changing.Unlock()
	n.mu.Lock()
	in := n.keys[channel] == c
	n.mu.Unlock()
	if c.active.Load() {
		_ = protect(func() error {
			if in {
				return c.sub.SSubscribe(n.ctx, nodeChannel(channel, channel))
			}
			return c.sub.SUnsubscribe(n.ctx, nodeChannel(channel, channel))
		})
	}
}

// noteKey handles Redis' notice that the channel of a key was added or removed. If setKey has not
// removed it, its slot has moved.
func (n *nodeSubscriptions) noteKey(c *nodeSubscription, channel string, subscribed bool) {
	switch {
	case subscribed:
		n.notify(channel)
	case slices.Contains(n.keysOf(c), channel):
		n.store.transport.cluster.ReloadState(n.ctx)
		n.running.Go(func() {
			n.pause()
			n.moveKey(c, channel)
		})
	}
}

// moveKey looks for the node of a key again.
func (n *nodeSubscriptions) moveKey(c *nodeSubscription, channel string) {
	n.mu.Lock()
	here := n.keys[channel] == c
	if here {
		n.keys[channel] = nil
	}
	n.mu.Unlock()
	if here {
		n.running.Go(func() { n.place(channel) })
	}
}

// notify makes the waiters and observers of a channel ask Redis. After close they ask anyway.
func (n *nodeSubscriptions) notify(channel string) {
	n.notifying.RLock()
	defer n.notifying.RUnlock()
	if n.ctx.Err() == nil {
		n.handler.Subscribed(channel)
	}
}

// close ends all subscriptions, and returns when the handler is not notified any more. It does not
// wait for a silent node.
func (n *nodeSubscriptions) close() {
	n.end()
	n.notifying.Lock()
	defer n.notifying.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.byAddr = nil
}
