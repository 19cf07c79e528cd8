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

// nodeChannel returns the channel that stands for the given one on the node of the key. A message on
// it goes to that node only. A message on a plain channel goes to all nodes of the cluster.
func nodeChannel(channel, key string) string {
	return "baton:@{" + tagOfSlot(slot(key)) + "}:" + strings.TrimPrefix(channel, "baton:")
}

// plainChannel returns the channel for which a nodeChannel stands.
func plainChannel(channel string) string {
	_, rest, _ := strings.Cut(channel, "}:")
	return "baton:" + rest
}

// publishedOn returns the channel on which scripts publish to the subscribers of a key's channel: in a
// cluster, the nodeChannel on the node of the key.
func (s *Store) publishedOn(channel any) any {
	if s.transport.cluster == nil {
		return channel
	}
	return nodeChannel(channel.(string), channel.(string))
}

// nodeSubscriptions are the subscriptions of a process to the nodes of a cluster, at most one a node.
// They stand beside the subscription to plain channels, and end with it. Each receives the process's
// channel on its node, which waiters and tokens name, and the channels of the keys that the node
// serves.
type nodeSubscriptions struct {
	store   *Store
	ctx     context.Context
	end     context.CancelFunc // of the subscription to plain channels
	handler client.MessageHandler
	running *sync.WaitGroup // the goroutines of all subscriptions; a silent node may delay their end

	notifying sync.RWMutex // read-locked while the handler is notified

	mu     sync.Mutex
	byAddr map[string]*nodeSubscription // nil after close
	keys   map[string]*nodeSubscription // by the plain channel of a key; nil while its node is not known
}

// A nodeSubscription is the subscription to one node.
type nodeSubscription struct {
	channel  string        // of the process, on this node
	tag      string        // the hash tag in channel
	resolved chan struct{} // closed when Redis has accepted channel, or the subscription has failed
	sub      *redis.PubSub // set before active
	active   atomic.Bool   // messages on channel are received
	changing sync.Mutex    // held while channels of keys are changed
}

// handoverChannel returns the channel on which Redis publishes to the claim of r: in a cluster, that of
// this process on the key's node. If there is no subscription to the node yet, handoverChannel begins
// one. A waiter awaits it, but not for long: the node may be silent, and the trust window has begun.
// Without the subscription, the channel is r.Channel.
func (s *Store) handoverChannel(ctx context.Context, r lease.Request) string {
	c := s.nodeSubscription(ctx, r.Key)
	if c == nil {
		return r.Channel
	}
	if r.Enqueue && !r.Prompt && !c.active.Load() {
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

// nodeSubscription returns the subscription to the node of the key, and begins it if there is none
// yet. It returns nil if the server is not a cluster, or the process has no subscription to plain
// channels.
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
	return all.subscriptionTo(node, key)
}

// subscriptionTo returns the subscription to a node, and begins it if there is none yet. The node
// serves the key. It returns nil after close. n is locked.
func (n *nodeSubscriptions) subscriptionTo(node *redis.Client, key string) *nodeSubscription {
	addr := node.Options().Addr
	c := n.byAddr[addr]
	if c == nil && n.byAddr != nil {
		c = &nodeSubscription{channel: nodeChannel(n.store.manager.Channel(), key), tag: tagOfSlot(slot(key)), resolved: make(chan struct{})}
		n.byAddr[addr] = c
		n.running.Go(func() { n.receive(node, addr, c) })
	}
	return c
}

// receive subscribes and handles messages until the subscription breaks, or the slot of its tag moves.
// Scripts then publish on plain channels, until the next subscription begins. When it breaks, messages
// may be lost, so the waiters and observers of its channels ask Redis.
func (n *nodeSubscriptions) receive(node *redis.Client, addr string, c *nodeSubscription) {
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
			moved = !subscribed
			if subscribed {
				n.running.Go(func() { n.updateKeys(c) })
			}
			return subscribed
		case *redis.Message:
			handleMessage(n.handler, plainChannel(event.Channel), event.Payload)
		}
		return true
	})
	broke := c.active.Swap(false) // else the slot has moved, or Redis has refused the channel
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

// setKey is called when the subscription to plain channels has added or removed the channel of a key.
// It adds or removes the nodeChannel on the node of the key.
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

// place finds the node of a key, and adds the key's channel to the subscription to that node.
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
	if c = n.subscriptionTo(node, channel); c != nil {
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

// updateKeys adds all channels of keys that belong to the subscription, which has just begun.
func (n *nodeSubscriptions) updateKeys(c *nodeSubscription) {
	for _, channel := range n.keysOf(c) {
		n.updateKey(c, channel)
	}
}

// updateKey adds the channel of a key to the subscription if it belongs to it, and removes it
// otherwise. Before the subscription has begun it does nothing: updateKeys follows.
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

// noteKey handles Redis' reply that the channel of a key was added or removed. If it was removed and
// still belongs to the subscription, its slot has moved.
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

// moveKey takes the channel of a key from the subscription, if it belongs to it, and finds the key's
// node again.
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
