package redisstore

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// pingInterval is how long a subscription may be silent before a PING is sent, and how long
// the reply may then take. go-redis' own health check sends a PING but does not wait for the
// reply, so it never notices a dead peer that did not close the connection.
const pingInterval = 3 * time.Second

// Subscribe keeps a subscription until ctx ends, and makes another when it breaks. Only the calling
// goroutine reads from it. In a cluster, nodeSubscriptions stand beside it.
func (s *Store) Subscribe(ctx context.Context, h client.MessageHandler) {
	backOff := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		s.receive(ctx, h, &running, backOff.Reset)
		if ctx.Err() != nil {
			return
		}
		h.Disconnected()
		select {
		case <-time.After(backOff.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// receive subscribes and handles messages until the subscription breaks.
func (s *Store) receive(ctx context.Context, h client.MessageHandler, running *sync.WaitGroup, healthy func()) {
	ctx, end := context.WithCancel(ctx)
	nodes := &nodeSubscriptions{store: s, ctx: ctx, end: end, handler: h, running: running, byAddr: map[string]*nodeSubscription{}, keys: map[string]*nodeSubscription{}}
	defer nodes.close()
	defer s.nodes.CompareAndSwap(nodes, nil)
	_ = listen(ctx, func() (*redis.PubSub, error) {
		sub := s.rdb.Subscribe(context.Background())
		return sub, sub.Subscribe(ctx, h.Channels(subscriber{sub})...)
	}, func(event any) bool {
		switch event := event.(type) {
		case *redis.Subscription:
			subscribed := event.Kind == "subscribe"
			if s.transport.cluster != nil && event.Channel != s.manager.Channel() {
				nodes.setKey(event.Channel, subscribed)
			}
			if subscribed {
				healthy()
				s.setNodes(ctx, nodes)
				h.Subscribed(event.Channel)
			}
		case *redis.Message:
			handleMessage(h, event.Channel, event.Payload)
		}
		return true
	})
}

// setNodes makes the store use the nodes of the subscription of ctx. If ctx has ended, the store keeps
// its present nodes, which may be of the next subscription.
func (s *Store) setNodes(ctx context.Context, nodes *nodeSubscriptions) {
	if s.transport.cluster == nil {
		return
	}
	before := s.nodes.Swap(nodes)
	if ctx.Err() != nil {
		s.nodes.CompareAndSwap(nodes, before)
	}
}

// listen opens a subscription, and calls handle with each event until the subscription breaks, or
// handle returns false: then there is no error. go-redis' own reconnection is silent, but messages
// are lost meanwhile, so listen does not use it. A panic of the client, or of a hook of it, breaks
// the subscription.
func listen(ctx context.Context, open func() (*redis.PubSub, error), handle func(event any) (more bool)) (err error) {
	var sub *redis.PubSub
	err = protect(func() (err error) {
		sub, err = open()
		return err
	})
	defer func() {
		if !retry.IsPanic(err) { // after one, go-redis may have left its mutex locked, on which Close waits
			sub.Close()
		}
	}()
	if err != nil {
		return err
	}
	// go-redis cannot interrupt a read, but closing the connection does. This is set up only
	// after Subscribe has returned: while a connection is being made, Close waits on a mutex,
	// and the clock of a synctest bubble would stand still.
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	for silent := false; ; {
		var event any
		err = protect(func() (err error) {
			event, err = sub.ReceiveTimeout(ctx, pingInterval)
			return err
		})
		timeout, ok := err.(net.Error)
		switch {
		case err == nil && !handle(event):
			return nil
		case err == nil:
			silent = false
		case !ok || !timeout.Timeout() || silent:
			return err
		default:
			if err = protect(func() error { return sub.Ping(ctx) }); err != nil {
				return err
			}
			silent = true
		}
	}
}

// subscriber changes the channels of a subscription. go-redis allows that while another
// goroutine receives.
type subscriber struct{ sub *redis.PubSub }

func (s subscriber) SetChannel(ctx context.Context, channel string, in bool) error {
	return protect(func() error {
		if in {
			return s.sub.Subscribe(ctx, channel)
		}
		return s.sub.Unsubscribe(ctx, channel)
	})
}

// WatchHandovers calls f with each hand-over from one process to another, of all keys, until ctx
// ends or the subscription breaks. In a cluster it receives none that goes to the channel of a node.
// It calls subscribed once it has begun. Redis sends it a copy of the messages that it sends anyway.
func WatchHandovers(ctx context.Context, rdb redis.UniversalClient, subscribed func(), f func(lease.Handover)) error {
	sub := rdb.PSubscribe(ctx, "baton:*")
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	for {
		event, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		switch event := event.(type) {
		case *redis.Subscription:
			subscribed()
		case *redis.Message:
			// A message with seq 0 hands nothing over.
			if h, ok := parseMessage(event.Payload); ok && h.Seq > 0 && h.Kind != taskgroup.Kind {
				f(h)
			}
		}
	}
}
