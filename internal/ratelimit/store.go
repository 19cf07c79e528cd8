package ratelimit

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/trace"
)

// Store is the authority on a rate limit.
type Store interface {
	// Take takes r.N tokens, if they are there within r.MaxWait. Repeated with
	// the same ID it takes nothing more and gives the same answer.
	Take(ctx context.Context, r Reservation) (TakeResult, error)
	// Refund gives back what Take has taken for r.ID, and makes a late copy of Take take nothing.
	Refund(ctx context.Context, r Reservation) error
}

// Reservation asks for tokens.
type Reservation struct {
	Op      string // the operation that errors name
	Key     string
	ID      string // new for every reservation; "" if it is neither repeated nor refunded
	N       int
	Rate    float64 // per second
	Burst   int
	MaxWait time.Duration // Take takes nothing if the wait is longer
	Client  *Client       // shared by the reservations of one limiter

	Trace trace.Trace // nil if there is none
	Began time.Time   // the call

	Finished []string // ids of other reservations, whose records Redis may delete
	answered bool     // the only request so far was answered
	repeated bool     // a later request was answered
}

// Bucket is the state of a limiter in Redis.
type Bucket struct {
	Full   bool    // and so it has no other field
	Rate   float64 // as last used
	Burst  int     // as last used
	Tokens float64 // negative if some are reserved for later
	Next   time.Duration
}

// TakeResult is the reply of Redis to a Reservation.
type TakeResult struct {
	Taken bool
	Wait  time.Duration // until they may be used
}

// NoMaxWait is longer than any wait for which tokens are taken.
const NoMaxWait = time.Duration(1<<63 - 1)

// Retention is the time after which a refund is given up. Redis keeps a reservation for as long after
// its use, and a refund for as long, unless a later request names it as finished. It is three times
// go-redis' ReadTimeout, so it covers what a client does after a lost reply.
const Retention = 15 * time.Second
