package ratelimit

import (
	"sync"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

const (
	// maxFinished is how many finished reservations one request names.
	maxFinished = 16
	// maxUnnamed is how many may wait to be named. The records of others expire.
	maxUnnamed = 1024
)

// Client is what the reservations of a limiter share in one process.
type Client struct {
	refunds retry.Backlog // of the tokens that could not be given back at once

	mu       sync.Mutex
	finished []string
}

// finish notes that no request of the reservation is under way, and that none will follow.
// The next request deletes its record, which a late copy would need to take nothing.
//
// Two other ways to keep few records fail. If only the second attempt wrote one, it could not know
// whether the first took tokens. If the bucket held them, each decision would read those of all processes.
func (c *Client) finish(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.finished) < maxUnnamed {
		c.finished = append(c.finished, id)
	}
}

// popFinished returns the ids for the next request. If that fails, their records expire.
func (c *Client) popFinished() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.finished), maxFinished)
	ids := c.finished[:n:n]
	if c.finished = c.finished[n:]; len(c.finished) == 0 {
		c.finished = nil
	}
	return ids
}
