package lease

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// termValueTTL is how long Redis keeps the value of a term after its leader has died. Renewals
// give it as much: RETENTION in lib/limits.lua.
const termValueTTL = 65 * time.Minute

// A TermStore is the store of terms.
type TermStore interface {
	ValueStore
	// ClearValue deletes the value beside a mutex and publishes that, unless the mutex is held.
	ClearValue(ctx context.Context, key string) error
}

// A Term is a lease on a mutex whose value was stored beside the mutex before the caller got it.
type Term struct {
	store TermStore
	value ValueWrite
	lease *Lease // set before the caller gets the Term
}

// NewTerm returns a term to campaign for, whose value is to be stored.
func NewTerm(s TermStore, value string) *Term {
	return &Term{store: s, value: ValueWrite{Kind: "election", Data: value, TTL: termValueTTL, Notify: true}}
}

// Campaign waits for the term until ctx ends, and stores its value.
func (t *Term) Campaign(ctx context.Context, m *Manager, p *Params) error {
	for {
		l := new(Lease)
		if err := l.Acquire(ctx, m, p); err != nil {
			return err
		}
		switch again, err := t.storeValue(ctx, l); {
		case err != nil:
			retry.Repanic(err)
			return err
		case !again:
			t.lease = l
			t.begin(l)
			return nil
		}
	}
}

// CampaignChan is like Campaign, but returns at once and puts the result into sink.
func (t *Term) CampaignChan(ctx context.Context, m *Manager, p *Params, sink result.Sink) {
	c := &campaign{term: t, ctx: ctx, manager: m, params: *p, sink: sink}
	c.start()
}

// errValueDeleted is why a key cannot have terms.
var errValueDeleted = retry.Permanent(errors.New("the key is used by a Once"))

// storeValue stores the value under a lease that was granted. If it fails, it releases the lease.
// It reports whether to campaign again, because the lease was lost.
func (t *Term) storeValue(ctx context.Context, l *Lease) (again bool, err error) {
	outcome, err := t.writeValue(ctx, l)
	switch {
	case ctx.Err() != nil:
		err = l.wrap(retry.CtxError(ctx), err)
	case err == nil && outcome == ValueStored && l.Err() == nil:
		return false, nil
	case err == nil && outcome == ValueDeleted:
		err = l.wrap(errValueDeleted, nil)
	case err == nil || errors.Is(err, ErrLost):
		again, err = true, nil
	}
	released := make(chan struct{})
	go func() {
		defer close(released)
		if releaseAll([]*Lease{l}) == nil {
			t.clear(l)
		}
	}()
	if again {
		select {
		case <-released:
		case <-ctx.Done():
		}
		return true, nil
	}
	l.queue.manager.Backlog.WaitBriefly(released, cancelTimeout(l.sink))
	return false, err
}

// writeValue returns a panic of the client as an error.
func (t *Term) writeValue(ctx context.Context, l *Lease) (outcome WriteOutcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = retry.NewPanicError(v)
		}
	}()
	return l.WriteValue(ctx, t.store, t.value)
}

// begin begins the term of the lease. From now on its renewals keep the value from expiring, and
// the value is stored again when one finds that Redis has lost it.
func (t *Term) begin(l *Lease) {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	if l.state != leaseHeld {
		return
	}
	var storing atomic.Bool
	l.claim.hold.valueMissing = func() {
		if storing.CompareAndSwap(false, true) {
			go func() {
				defer storing.Store(false)
				_, _ = t.writeValue(&l.caller, l)
			}()
		}
	}
}

// Lease returns the lease of the term. That of a nil Term has been lost.
func (t *Term) Lease() *Lease {
	if t == nil {
		return lostLease
	}
	return t.lease
}

// Resign ends the term, as Release ends a lease. If that leaves the mutex free, observers are
// notified. A hand-over has no need of it, because the next leader stores its own value.
func (t *Term) Resign() error {
	if t == nil {
		return ErrLost
	}
	err := t.lease.Release()
	if err == nil {
		t.clear(t.lease)
	}
	return err
}

// clear deletes the value if nobody holds the mutex, and notifies observers. It waits a moment only:
// their poll finds it, too.
func (t *Term) clear(l *Lease) {
	l.queue.manager.Backlog.Briefly(func() {
		ctx, cancel := context.WithTimeout(&l.caller, MaxPollInterval)
		defer cancel()
		_ = t.store.ClearValue(ctx, l.queue.name.Key)
	}, retry.MaxCancelTimeout)
}

// campaign is the [result.Sink] of the lease of a Term for which no call waits. What it receives
// goes on to the Term's own sink, a grant when the value has been stored. Until then, a lost
// lease makes it campaign again.
type campaign struct {
	term    *Term
	ctx     context.Context
	manager *Manager
	params  Params
	sink    result.Sink

	mu    sync.Mutex // taken after that of the queue
	lease *Lease
	state campaignState
}

type campaignState uint8

const (
	campaignWaiting   campaignState = iota
	campaignStoring                 // granted
	campaignDelivered               // and in the sink
	campaignRevoked                 // its lease has ended before
)

func (c *campaign) start() {
	l := new(Lease)
	c.mu.Lock()
	c.lease, c.state = l, campaignWaiting
	c.mu.Unlock()
	l.AcquireChan(c.ctx, c.manager, &c.params, c)
}

func (c *campaign) Send(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.state
	switch {
	case err == nil:
		c.state = campaignStoring
		go c.store(c.lease)
	case was == campaignRevoked && errors.Is(err, ErrLost):
		go c.start()
	default:
		c.sink.Send(err)
		if was != campaignWaiting { // observers may have seen it
			go c.term.clear(c.lease)
		}
	}
}

func (c *campaign) Revoke() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == campaignDelivered {
		return c.sink.Revoke()
	}
	c.state = campaignRevoked
	return true
}

// Received reports true also before the value is stored, so that the lease is renewed meanwhile.
func (c *campaign) Received() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != campaignDelivered || c.sink.Received()
}

// store stores the value, and delivers the term.
func (c *campaign) store(l *Lease) {
	again, err := c.term.storeValue(c.ctx, l)
	if err == nil && !again {
		c.term.begin(l) // with the mutex of the queue, and so before that of c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.lease != l || c.state != campaignStoring: // it was revoked
	case again:
		go c.start()
	default:
		if err == nil {
			c.term.lease, c.state = l, campaignDelivered
		}
		c.sink.Send(err)
	}
}
