package lease

import (
	"context"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// A ValueStore keeps a value beside each mutex. Only the holder of the mutex writes it, under
// its fence. All calls are safe to repeat.
type ValueStore interface {
	// ReadValue returns the value beside the mutex at key, and who holds the mutex.
	ReadValue(ctx context.Context, key string) (ValueReply, error)
	// WriteValue stores a value if w.Token owns the mutex.
	WriteValue(ctx context.Context, w ValueWrite) (WriteOutcome, error)
	// DeleteValue deletes the value. If the mutex is held, its holder cannot store a value that
	// it began to make before: see ValueReply.Reset. It reports whether there was a value.
	DeleteValue(ctx context.Context, key string) (existed bool, err error)
	// ValueChannel returns the channel on which changes of the value are published.
	ValueChannel(key string) (string, error)
}

// A Value is what is stored beside a mutex.
type Value struct {
	Data      string
	Fence     int64 // of the hold that wrote it
	Writer    Owner
	WrittenAt time.Time     // by the server's clock
	Remaining time.Duration // negative if it does not expire
}

// ValueReply is the state of a value and of its mutex at one moment.
type ValueReply struct {
	Value     *Value        // nil if there is none
	Now       time.Time     // by the server's clock
	Holder    Owner         // of the mutex; its Token is "" if there is none
	HoldsFor  time.Duration // until the hold ends if not renewed; negative if it does not
	Reset     string        // names the last deletion under a held mutex; a writer passes it on
	Requested time.Time     // just before the request was sent, by this process's clock
}

// ValueWrite is a value to store.
type ValueWrite struct {
	Key, Token string
	Fence      int64
	Data       string
	TTL        time.Duration // 0: kept until it is deleted
	Reset      string        // of the ValueReply that the value was begun after
	Notify     bool          // publish the change on the key's ValueChannel
}

// WriteOutcome is what became of a ValueWrite.
type WriteOutcome int64

const (
	ValueStored  WriteOutcome = 1
	ValueNotHeld WriteOutcome = 0  // the token does not own the mutex
	ValueNewer   WriteOutcome = -1 // a later hold has written
	ValueDeleted WriteOutcome = -2 // the value was deleted since it was begun
)

// WriteValue stores a value beside the mutex that the lease holds, with the token and the fence
// of the lease. It repeats the request until Redis answers, ctx ends, or the lease does. It
// returns ErrLost if the lease has ended here or in Redis.
func (l *Lease) WriteValue(ctx context.Context, s ValueStore, w ValueWrite) (WriteOutcome, error) {
	l = l.canonical()
	l.queue.mu.Lock()
	if l.expire(time.Now()); l.state != leaseHeld {
		defer l.queue.mu.Unlock()
		return ValueNotHeld, l.wrap(l.err, nil)
	}
	w.Key, w.Token, w.Fence = l.queue.name.Key, l.claim.token, l.fence
	l.queue.mu.Unlock()
	ctx, stop := l.Context(ctx)
	defer stop()
	outcome, err := retry.Do(ctx, "write value", w.Key, true, func(ctx context.Context) (WriteOutcome, error) {
		return s.WriteValue(ctx, w)
	})
	if lost := l.Err(); err == nil && outcome == ValueNotHeld || err != nil && lost != nil {
		return ValueNotHeld, l.wrap(ErrLost, err)
	}
	return outcome, err
}
