package lease

import (
	"context"
	"time"
)

// Bucket is the authority on a rate limit.
type Bucket interface {
	// Take takes d.N tokens, if they are there within d.Longest. Repeated with
	// the same ID it takes nothing more and gives the same answer.
	Take(ctx context.Context, d Draw) (Turn, error)
	// Return gives back what Take has taken for d.ID, or will yet take.
	Return(ctx context.Context, d Draw) error
}

// Draw asks for tokens.
type Draw struct {
	Op      string // the caller's word for it, for errors
	Key     string
	ID      string // new for every draw; "" if it is neither repeated nor returned
	N       int
	Rate    float64 // per second
	Burst   int
	Longest time.Duration // not to be taken if they are there only later
	Refunds *Backlog      // of the tokens that could not be given back at once
}

// Turn is what Redis says to a Draw.
type Turn struct {
	Taken bool
	Wait  time.Duration // until they are there
}

// Forever is longer than any wait for which tokens are taken.
const Forever = time.Duration(1<<63 - 1)

// Memory is the time after which giving tokens back is given up. Redis knows a
// draw for as long after its use, and a return for as long: it covers what a
// client does with a lost answer, three times go-redis' ReadTimeout.
const Memory = 15 * time.Second
