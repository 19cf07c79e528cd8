package lease

import (
	"context"
	"errors"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// Times and bounds of the protocol; PROTOCOL.md derives them.
const (
	// MaxPollInterval is the longest time between two polls of a waiter.
	MaxPollInterval = retry.MaxInterval
	// WaiterTTL is the life of a queue entry that no request refreshes.
	WaiterTTL = 3 * MaxPollInterval
	// MinTTL is the shortest TTL that leaves a window to hold in.
	MinTTL = client.MinTTL
	// FencesPerGrant is the number of fences of one grant.
	FencesPerGrant = 1024
)

// AllReplicas asks for confirmation by every replica that is connected to the master, and
// by one at least.
const AllReplicas = client.AllReplicas

// Types that stores and package client use, too.
type (
	Kind        = client.Kind
	Name        = client.Name // a queue is found by it
	Renewal     = client.Renewal
	RenewResult = client.RenewResult
	Confirm     = client.Confirm
	Owner       = client.Owner
)

const (
	Mutex     Kind = 'm' // one claim has it, whole
	RWMutex   Kind = 'r' // many that share it, or one that does not
	Semaphore Kind = 's' // as many as its size has permits for
)

// ExclusiveWeight is the weight of an exclusive claim on an RWMutex, and the size of every
// RWMutex: a reader's claim weighs 1.
const ExclusiveWeight = 1 << 40

// Store is the authority on who holds what. Its calls may block past ctx and may be executed late,
// twice, or never. All are safe to repeat, because the token names the claim.
type Store interface {
	client.Store
	// Acquire states what the claim of r.Token keeps and what it wants in addition. Redis grants
	// that if there is room and nobody is ahead, and otherwise queues the token, if r.Enqueue.
	Acquire(ctx context.Context, r Request) (Reply, error)
	// IsPrompt reports whether replies about name are expected within a millisecond. If so, a
	// caller may wait for one on its own goroutine although its ctx can end: see Request.Prompt.
	IsPrompt(name Name) bool
	// NodeTag returns what follows the mark in a token, so that a notice to the claim goes to one node
	// of a cluster: "" while there is no such channel.
	NodeTag(key string) string
	// Release ends what token holds or awaits, and hands over to the next.
	// It reports whether token held anything.
	Release(ctx context.Context, name Name, token string) (owned bool, err error)
	// Inspect asks what Redis knows of a key, once, and changes nothing.
	Inspect(ctx context.Context, name Name) (Status, error)
}

// isSizeError reports whether err is an answer about the size of a semaphore.
func isSizeError(err error) bool {
	return err != nil && (errors.Is(err, ErrSizeMismatch) || errors.Is(err, ErrExceedsSize))
}

// Request asks Redis for a claim on behalf of a whole process.
type Request struct {
	Name
	Token       string // new for every claim; what makes repeating safe
	Replaces    string // Mutex: a held token that is given up for this one, or ""
	TTL         time.Duration
	HandoverTTL time.Duration // the TTL that a hand-over gives
	Seq         int64         // number of the request: it is overtaken if it arrives after a higher number
	Enqueue     bool          // leave a queue entry if it must wait
	Prompt      bool          // return retry.ErrNoAnswer after a few ms, and within them of the end of ctx
	// Channel is where a hand-over is published.
	Channel string
	Value   *ValueReader // Mutex: also read the value beside it; nil if not

	// Not sent for a Mutex, whose claims want one permit of one. What the claim holds is
	// stated, never a difference, so that a request can be repeated.
	Keep    int64 // permits in use; what the token holds above that is free from now on
	Want    int64 // permits that it wants in addition, 0 to leave the queue
	Extra   int64 // more permits that it can use, if they are free and nobody waits
	WantSeq int64 // number of the first request that wanted these
	Size    int64 // how many permits its process believes there are
	// What it wants, or keeps, is shared: it gets a notice when others wait.
	WantShared, HeldShared bool
}

// Reply is the reply of Redis to a Request.
type Reply struct {
	Granted      bool          // the token has what it wants
	FenceBase    int64         // if granted: above the base of every earlier grant on the key
	Weight       int64         // if granted: all that the token holds
	GrantedNow   int64         // if granted: the part of that which is new
	Contended    bool          // others wait
	Remaining    time.Duration // if not granted: until a hold ends if not renewed, negative if none does
	ForeignOwner bool          // if not: the owner is not one of ours and sends no message
	MayLinger    bool          // if not: a holder may only linger, and makes way when asked
	Lost         bool          // what the token wants to keep, or to replace, is lost
	Found        bool          // a value is of use to Request.Value. If not granted, the token does not wait any more
}

// Handover is the message that Redis has granted a waiting token what it wants. Weight is all that
// the token holds. Seq is the number of the token's last request that Redis had executed, WantSeq
// that of the first which wanted this. With Seq 0 it is a contention notice: others wait for what the
// token holds.
type Handover = client.Message

var (
	// ErrLocked is returned by a try if the key is held or awaited. A semaphore's caller gets
	// ErrNotAvailable.
	ErrLocked       = errors.New("baton: locked")
	ErrNotAvailable = errors.New("baton: permits not available")
	// ErrSizeMismatch is returned if a semaphore has another size in Redis.
	ErrSizeMismatch = errors.New("baton: size mismatch")
	// ErrExceedsSize is returned for a request of more permits than the semaphore has.
	ErrExceedsSize = errors.New("baton: request exceeds the size")
	// ErrLost is returned for a hold that ended before it was released.
	ErrLost = errors.New("baton: lease lost")
	// ErrReleased is returned for a hold that its holder has released. A lock's caller gets
	// ErrUnlocked, and that of a term ErrResigned.
	ErrReleased = errors.New("baton: released")
	ErrUnlocked = errors.New("baton: unlocked")
	ErrResigned = errors.New("baton: resigned")
)
