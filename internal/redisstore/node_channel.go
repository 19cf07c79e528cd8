package redisstore

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// retryNodeAfter is for how long a process does without the channel of a node whose connection broke.
const retryNodeAfter = time.Second

// nodeChannels are the channels of single nodes of a cluster that go with one subscription.
// Plain messages go to all nodes, which costs more the more there are. So a waiter names a
// channel of the node of its key. lib/publish.lua falls back to the channel of the subscription.
type nodeChannels struct {
	ctx     context.Context
	end     context.CancelFunc // of the subscription
	handler client.MessageHandler
	running sync.WaitGroup

	mu     sync.Mutex
	byAddr map[string]*nodeChannel // nil when the subscription has ended
}

type nodeChannel struct {
	name     string
	process  string        // the channel of the process
	resolved chan struct{} // closed when it is subscribed to, or that has failed
	active   atomic.Bool
}

// handoverChannel returns the channel on which a waiter is told of a hand-over. It subscribes to that
// of the key's node if nobody has, and waits for that, but not for a silent node, nor for a large part
// of the TTL: the trust window has begun.
func (s *Store) handoverChannel(ctx context.Context, r lease.Request) string {
	all := s.nodeChannels.Load()
	if s.transport.cluster == nil || !r.Enqueue || all == nil {
		return r.Channel
	}
	var node *redis.Client
	if protect(func() (err error) { node, err = s.transport.cluster.MasterForKey(ctx, r.Key); return err }) != nil {
		return r.Channel
	}
	c := all.of(node, r)
	if c == nil {
		return r.Channel
	}
	if !r.FailFast {
		select {
		case <-c.resolved:
		case <-ctx.Done():
		case <-time.After(min(connTimeout, r.TTL/10)):
		}
	}
	if !c.active.Load() {
		return r.Channel
	}
	return c.name
}

// of returns the channel of the node, nil if the subscription has ended. Its hash tag gives it the
// slot of the first key that was awaited.
func (n *nodeChannels) of(node *redis.Client, r lease.Request) *nodeChannel {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr := node.Options().Addr
	c := n.byAddr[addr]
	if c == nil && n.byAddr != nil {
		c = &nodeChannel{process: r.Channel, name: keyPrefix + tagOfSlot(slot(r.Key)) + "}:" + strings.TrimPrefix(r.Channel, "baton:"), resolved: make(chan struct{})}
		n.byAddr[addr] = c
		n.running.Go(func() { n.listen(node, addr, c) })
	}
	return c
}

// listen subscribes to the channel until the slot of its tag moves, or the subscription breaks.
func (n *nodeChannels) listen(node *redis.Client, addr string, c *nodeChannel) {
	resolve := sync.OnceFunc(func() { close(c.resolved) })
	defer resolve()
	err := listen(n.ctx, func() (*redis.PubSub, error) {
		sub := node.SSubscribe(context.Background())
		return sub, sub.SSubscribe(n.ctx, c.name)
	}, func(event any) bool {
		if event, ok := event.(*redis.Subscription); ok {
			c.active.Store(event.Kind == "ssubscribe")
			resolve()
			return event.Kind == "ssubscribe"
		}
		if event, ok := event.(*redis.Message); ok {
			handleMessage(n.handler, c.process, event.Payload)
		}
		return true
	})
	switch {
	case c.active.Swap(false) && n.ctx.Err() == nil: // it broke: messages may be lost, so all who wait ask
		n.handler.Subscribed(c.process)
		select { // until then, waiters name the channel of the process
		case <-time.After(retryNodeAfter):
		case <-n.ctx.Done():
		}
		n.remove(addr)
	case redis.HasErrorPrefix(err, "unknown command"), redis.HasErrorPrefix(err, "NOPERM"): // the server has no such channels
	default:
		n.remove(addr)
	}
}

// remove forgets the channel of a node: the next waiter subscribes again.
func (n *nodeChannels) remove(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.byAddr, addr)
}

// close ends the subscriptions to all nodes.
func (n *nodeChannels) close() {
	n.end()
	n.mu.Lock()
	n.byAddr = nil
	n.mu.Unlock()
	n.running.Wait()
}
