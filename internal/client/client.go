package client

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// Store is what a Client needs of Redis.
type Store interface {
	// Renew extends holds, each for itself. It calls begin for each hold just before it
	// sends it, and leaves it out if begin returns false. It calls done for each hold that
	// was sent, as soon as its outcome is known, from one or several goroutines.
	Renew(holds []Renewal, begin func(i int) bool, done func(i int, r RenewResult))
	// MaxBlock is the longest that a call can block past the end of its ctx.
	MaxBlock() time.Duration
	// Subscribe receives the messages on the channels of h until ctx ends, and then returns.
	Subscribe(ctx context.Context, h MessageHandler)
}

// A Client is shared by all primitives that use one Redis client.
type Client struct {
	Renewer
	Backlog retry.Backlog

	store       Store
	channel     string   // of this process
	process     Listener // receives the messages of that channel
	tokenPrefix string   // what its tokens have in common
	serial      atomic.Int64
	workers     atomic.Pointer[workerPool] // there is one while there is a subscription
	hearing     atomic.Int64               // number of the subscription if messages are received, else 0

	mu            sync.Mutex            // listeners may lock it while they hold theirs
	users         int                   // while there are any, the subscription stays open
	listeners     Map[string, Listener] // by the channel
	subscription  subscription
	subscriptions int64 // that have been made so far
}

// channelPrefix begins the name of the channel of a process.
const channelPrefix = "baton:"

// New returns the client of a store. The listener receives the messages to this process. The client
// needs no Close: it uses no resources while it has no users and renews nothing.
func New(s Store, process Listener) *Client {
	id := rand.Text()[:16]
	return &Client{Renewer: Renewer{store: s}, store: s, channel: channelPrefix + id, process: process, tokenPrefix: newTokenPrefix(id)}
}

// Channel is where messages to this process are published.
func (c *Client) Channel() string { return c.channel }

// AddUser keeps the subscription, if there is one, until RemoveUser.
func (c *Client) AddUser() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users++
	c.subscription.idleSince = time.Time{}
}

// RemoveUser undoes AddUser. Without users the subscription is closed in a moment.
func (c *Client) RemoveUser() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 {
		c.subscription.scheduleClose(c)
	}
}

// AtRest reports whether the client has no users, no subscription, and nothing to renew.
func (c *Client) AtRest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.users == 0 && c.subscription.cancel == nil && c.Renewing() == 0
}
