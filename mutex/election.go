package mutex

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// MaxElectionValue is the largest size of [Election.Value], in bytes.
const MaxElectionValue = 4096

var (
	// ErrNoLeader is returned by [Election.Leader] if nobody leads.
	ErrNoLeader = errors.New("baton: no leader")
	// ErrResigned is returned for a term that Resign has ended.
	ErrResigned = lease.ErrResigned
)

// An Election lets one of many candidates lead at a time: all Elections with the same key
// are one election, wherever they run. Most callers should use [Election.Lead].
//
//	e := mutex.NewElection(rdb, "scheduler")
//	e.Value = "10.0.0.7:8080" // other processes read it while this candidate leads
//	err := e.Lead(ctx, func(ctx context.Context, t *mutex.Term) error {
//		return schedule(ctx) // ctx is canceled if the leadership is lost
//	})
//
// A leader holds the [Mutex] with the election's key. Its Value is stored in Redis under
// another key. So the guarantees are those of a Mutex. While Redis keeps its data, there is at
// most one leader at a time. A leader that loses contact with Redis learns of it before another
// can be elected. None of this protects data by itself: send [Term.Number] with each write, as a
// fencing token.
//
// A leader that dies is replaced within TTL plus 1.2 s. Candidates lead in the order in which
// their processes began to campaign.
//
// An Election must be created by [NewElection] and must not be copied after first use. There
// is nothing to close. Its methods may be called by multiple goroutines simultaneously; each
// call of Campaign or Lead is a candidate of its own.
type Election struct {
	// Value is shown by [Election.Leader] and [Election.Observe] while this candidate leads:
	// its address, for example. It has at most [MaxElectionValue] bytes. Set it before first
	// use.
	Value string

	// TTL is how long the leadership lasts after its process has died. NewElection sets it to
	// 10 s. It is truncated to milliseconds and must be at least 10 ms. Set it before first use.
	TTL time.Duration

	// Label is shown by [Election.Inspect] next to host and PID; see [Mutex.Label].
	Label string

	// Trace, if not nil, receives the events of each campaign and each term. A term is
	// reported as a hold of the Mutex with the election's key. Set it before first use.
	Trace *Trace

	key   string
	store *redisstore.Store
	err   error // why store is nil
}

// NewElection returns an election at key, with the default TTL. The key must not be empty
// and must not start with "baton:{". An invalid key or a nil client makes the first
// operation fail.
func NewElection(rdb redis.UniversalClient, key string) *Election {
	e := &Election{TTL: DefaultTTL, key: key}
	e.store, e.err = redisstore.StoreFor(rdb)
	return e
}

// Campaign waits until this candidate is elected, and returns its term. If ctx is done first,
// Campaign returns within milliseconds, and the candidacy is withdrawn. While Redis is
// unreachable it retries with backoff; the error then wraps both ctx's error and the last
// Redis error. Permanent errors are returned at once.
//
// ctx bounds the wait, not the term.
func (e *Election) Campaign(ctx context.Context) (*Term, error) {
	t, p, err := e.candidate()
	if err != nil {
		return nil, err
	}
	if err := t.term.Campaign(ctx, e.store.Manager(), &p); err != nil {
		return nil, err
	}
	return t, nil
}

// A TermResult is received from the channel of CampaignChan. It holds a term or an error.
type TermResult struct {
	Term *Term // nil if Err is not nil
	Err  error
}

// CampaignChan is like Campaign but returns at once, with a channel that receives the result.
// It promises what [Mutex.LockChan] promises: the channel receives exactly one TermResult and
// is never closed. If ctx is done before that is received, the term is resigned. A term that
// is not received within one TTL is resigned, and the result is ErrLost. Waiting uses no
// goroutine.
func (e *Election) CampaignChan(ctx context.Context) <-chan TermResult {
	t, p, err := e.candidate()
	ch := result.NewChan(termBuilder{t})
	if err != nil {
		ch.Send(err)
	} else {
		t.term.CampaignChan(ctx, e.store.Manager(), &p, ch)
	}
	return ch.C()
}

type termBuilder struct{ term *Term }

func (b termBuilder) Build(err error) TermResult {
	if err != nil {
		return TermResult{Err: err}
	}
	return TermResult{Term: b.term}
}

// Lead campaigns, and calls f when it is elected. After each loss, Lead campaigns and calls f
// again. It stops when ctx is done or f returns while it still leads. While Redis is
// unreachable it continues to campaign.
//
// The ctx passed to f is canceled when ctx is. If the leadership is lost, it is canceled with
// the cause ErrLost. f must return soon after its ctx is done, because another process may lead
// once [Term.Remaining] is 0. Lead waits for f to return. It never runs f twice at the same
// time, and it resigns only after f has returned.
//
// If f returns while the candidate still leads, Lead resigns. It returns f's error (or nil),
// joined with the error of Resign. After a loss, Lead ignores what f returns. f can detect the
// loss with [context.Cause]. Lead returns ctx's error if ctx is done while it campaigns. It
// also returns a permanent error. If f panics, the term is resigned. A nil f panics at once.
func (e *Election) Lead(ctx context.Context, f func(context.Context, *Term) error) error {
	if f == nil {
		panic("baton: Lead of a nil function")
	}
	for {
		t, err := e.Campaign(ctx)
		if err != nil {
			return err
		}
		if lost, err := t.lead(ctx, f); !lost {
			return err
		}
	}
}

// Inspect returns the leader's hold, the number of waiting candidates, and the first of them in
// order. See [Mutex.Inspect].
func (e *Election) Inspect(ctx context.Context) (Status, error) {
	if err := e.usable(opInspect); err != nil {
		return Status{}, err
	}
	return inspectKey(ctx, e.store.Manager(), nil, lease.Mutex, e.key)
}

// candidate returns a term to campaign for.
func (e *Election) candidate() (*Term, lease.Params, error) {
	const op = "campaign"
	err := e.usable(op)
	if n := len(e.Value); err == nil && n > MaxElectionValue {
		err = retry.Permanent(retry.Wrap(op, e.key, fmt.Errorf("the Value has %d bytes, more than %d", n, MaxElectionValue)))
	}
	if err != nil {
		return nil, lease.Params{}, err
	}
	return &Term{lease.NewTerm(e.store, e.Value)}, e.params(), nil
}

func (e *Election) params() lease.Params {
	return lease.Params{Kind: lease.Mutex, Key: e.key, Label: e.Label, TTL: e.TTL, Weight: 1, Term: true, Trace: e.Trace.hooks()}
}

// usable returns why e cannot be used, or nil.
func (e *Election) usable(op string) error {
	switch {
	case e.store != nil:
		return nil
	case e.err != nil:
		return retry.Permanent(fmt.Errorf("baton: %s %q: %w", op, e.key, e.err))
	}
	return retry.Permanent(fmt.Errorf("baton: %s: the Election was not made by NewElection", op))
}
