package redisstore

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A node that accepts a connection and then stays silent does not delay the end of the subscription of
// the process.
func TestSilentNodeDoesNotDelayTheEndOfTheSubscription(t *testing.T) {
	here, there := net.Pipe()
	node := redis.NewClient(&redis.Options{
		ReadTimeout: -1, MaxRetries: -1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return here, nil },
	})
	defer node.Close()
	ctx, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	n := &nodeSubscriptions{store: NewStore(node), ctx: ctx, end: end, running: &running, byAddr: map[string]*nodeSubscription{}, keys: map[string]*nodeSubscription{}}
	n.mu.Lock()
	n.subscriptionTo(node, "key")
	n.mu.Unlock()
	if _, err := there.Read(make([]byte, 1)); err != nil { // the greeting, which gets no reply
		t.Fatal(err)
	}
	running.Go(func() { _, _ = io.Copy(io.Discard, there) })
	n.close()
	check(t, there.Close())
	running.Wait()
}
