package lease

import (
	"context"
	"errors"
	"time"
)

// Times that both sides of the protocol count on; PROTOCOL.md derives them.
const (
	// PollBound is the longest that a waiter goes without asking Redis.
	PollBound = 1200 * time.Millisecond
	// EntryLife is how long a queue entry lives that no request refreshes.
	EntryLife = 3 * PollBound
	// MinTTL leaves a window to hold in, after the margin for clock drift.
	MinTTL = 10 * time.Millisecond
	// Block is how many fences one claim has to give.
	Block = 1024
)

// Store is the authority on who holds what. Its calls may block past ctx and
// may be executed late, twice, or never; all are safe to repeat by token.
type Store interface {
	// Ask takes the claim for r.Token if it is free, and queues for it if not.
	Ask(ctx context.Context, r Request) (Reply, error)
	// Release ends what token holds or awaits, and hands over to the next.
	// It reports whether token held the claim.
	Release(ctx context.Context, key, token string) (owned bool, err error)
	// Renew extends held claims, each for itself.
	Renew(ctx context.Context, claims []Renewal) []Renewed
	// Patience is the longest that a call can block past the end of its ctx.
	Patience() time.Duration
	// Listen hears of hand-overs until ctx ends, and then returns.
	Listen(ctx context.Context, channel string, l Listener)
}

// Request asks Redis for a claim on behalf of a whole process.
type Request struct {
	Key   string
	Token string // new for every claim; what makes repeating safe
	From  string // a held token that is given up for this one, or ""
	TTL   time.Duration
	Grant time.Duration // the TTL that a hand-over gives
	N     int64         // number of this request of the claim; 0 leaves no queue entry
	// Channel is where the releaser tells of a hand-over.
	Channel string
}

// Reply is what Redis says to a Request.
type Reply struct {
	Granted bool
	Base    int64         // if granted: above the base of every earlier claim on the key
	Left    time.Duration // if not: until the owner's TTL ends, negative if it has none
	Foreign bool          // if not: the owner is not one of ours and will tell nobody
	Gone    bool          // neither Token nor From is known: ask again without From
}

// Renewal is one claim that is due.
type Renewal struct {
	Key, Token string
	TTL        time.Duration
}

// Renewed is what became of a Renewal. Kept is false if the claim is gone for
// certain; with an error nothing is known.
type Renewed struct {
	Kept bool
	Err  error
}

// Handover is the message that Redis has made a waiting token the owner. It
// echoes the number of the last request that Redis had seen of that token.
type Handover struct {
	Key, Token string
	N, Base    int64
}

// Listener is told what a subscription hears. Calls come from one goroutine.
type Listener interface {
	// Subscribed is called after each (re)subscription; messages before it may
	// have been lost.
	Subscribed()
	// Deaf is called when a subscription failed or broke.
	Deaf()
	Heard(Handover)
}

var (
	// ErrLocked says that a try found the key held or awaited.
	ErrLocked = errors.New("baton: locked")
	// ErrLost says that a hold ended before it was released.
	ErrLost = errors.New("baton: lease lost")
	// ErrReleased says that a hold was released by its holder.
	ErrReleased = errors.New("baton: unlocked")
)

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that does not get better by waiting.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether err was marked by Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanent)) }
