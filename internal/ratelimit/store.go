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
	// Refund gives back what Take has taken for r.ID, or will yet take.
	Refund(ctx context.Context, r Reservation) error
}

// Reservation asks for tokens.
type Reservation struct {
	Op      string // the caller's word for it, for errors
	Key     string
	ID      string // new for every reservation; "" if it is neither repeated nor refunded
	N       int
	Rate    float64 // per second
	Burst   int
	MaxWait time.Duration // not to be taken if they are there only later
	Client  *Client       // shared by the reservations of one limiter

	Trace trace.Trace // nil if there is none
	Began time.Time   // the call

	Finished []string // ids of other reservations, whose records Redis may delete
	answered bool     // the only request so far was answered
	repeated bool     // a later request was answered
}

// Bucket is what Redis knows of a limiter.
type Bucket struct {
	Full   bool    // and so it has no other field
	Rate   float64 // as last used
	Burst  int     // as last used
	Tokens float64 // negative if more have been taken than are there
	Next   time.Duration
}

// TakeResult is what Redis says to a Reservation.
type TakeResult struct {
	Taken bool
	Wait  time.Duration // until they are there
}

// NoMaxWait is longer than any wait for which tokens are taken.
const NoMaxWait = time.Duration(1<<63 - 1)

// Retention is the time after which a refund is given up. Redis knows what was
// taken for as long after its use, and a refund for as long, unless a later request names
// it as finished: it covers what a client does with a lost answer, three times go-redis'
// ReadTimeout.
const Retention = 15 * time.Second
