package clienttest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/trace"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

const ttl = 3 * time.Second

// A primitive is a lock, a semaphore, a limiter or a group, with a key and a client.
type primitive struct {
	hold    func(context.Context) (held, error)
	wait    func(context.Context) (held, error) // for the end of a hold; nil if a hold ends by itself
	try     func(context.Context) (held, error) // fails with errTaken; may be nil
	waiting func(context.Context) (int, error)  // number of waiting processes; may be nil
}

// held has the methods of a lease or a task.
type held struct{ err, release func() error }

var errTaken = errors.New("taken")

// faults is the maximum number of faults of one operation by a hook that fails once for each key: all
// primitives share its pipelines.
const faults = 6

func taken(err error) error {
	if errors.Is(err, mutex.ErrLocked) || errors.Is(err, semaphore.ErrNotAvailable) {
		return fmt.Errorf("%w: %w", errTaken, err)
	}
	return err
}

// locks returns a primitive of package mutex.
func locks(hold, wait, try func(context.Context) (*mutex.Lease, error), inspect func(context.Context) (mutex.Status, error)) primitive {
	of := func(lock func(context.Context) (*mutex.Lease, error)) func(context.Context) (held, error) {
		return func(ctx context.Context) (held, error) {
			l, err := lock(ctx)
			if err != nil {
				return held{}, taken(err)
			}
			return held{l.Err, l.Unlock}, nil
		}
	}
	return primitive{of(hold), of(wait), of(try), func(ctx context.Context) (int, error) { s, err := inspect(ctx); return s.Waiters, err }}
}

// A maker returns a primitive that records its events.
type maker func(rdb redis.UniversalClient, key string, h *history) primitive

var primitives = map[string]maker{
	"Mutex": func(rdb redis.UniversalClient, key string, h *history) primitive {
		m := mutex.New(rdb, key)
		m.TTL, m.Trace = ttl, (*mutex.Trace)(hooks[mutex.Event](h))
		return locks(m.LockContext, m.LockContext, m.TryLockContext, m.Inspect)
	},
	"RWMutex": func(rdb redis.UniversalClient, key string, h *history) primitive {
		m := mutex.NewRW(rdb, key)
		m.TTL, m.Trace = ttl, (*mutex.Trace)(hooks[mutex.Event](h))
		return locks(m.RLockContext, m.LockContext, m.TryLockContext, m.Inspect)
	},
	// Keys of several slots, or shards.
	"Pool": func(rdb redis.UniversalClient, key string, h *history) primitive {
		p := mutex.NewPool(rdb, key)
		p.TTL, p.Trace = ttl, (*mutex.Trace)(hooks[mutex.Event](h))
		return locks(func(ctx context.Context) (*mutex.Lease, error) { return p.LockContext(ctx, "1", "2", "3") },
			func(ctx context.Context) (*mutex.Lease, error) { return p.LockContext(ctx, "2", "4") },
			func(ctx context.Context) (*mutex.Lease, error) { return p.TryLockContext(ctx, "3") },
			func(ctx context.Context) (mutex.Status, error) { return p.Inspect(ctx, "2") })
	},
	"Weighted": func(rdb redis.UniversalClient, key string, h *history) primitive {
		s := semaphore.NewWeighted(rdb, key, 3)
		s.TTL, s.Trace = ttl, (*semaphore.Trace)(hooks[semaphore.Event](h))
		of := func(acquire func(context.Context, int64) (*semaphore.Lease, error)) func(context.Context) (held, error) {
			return func(ctx context.Context) (held, error) {
				l, err := acquire(ctx, 2)
				if err != nil {
					return held{}, taken(err)
				}
				return held{l.Err, l.Release}, nil
			}
		}
		return primitive{of(s.AcquireLease), of(s.AcquireLease), of(s.TryAcquireLease), func(ctx context.Context) (int, error) {
			s, err := s.Inspect(ctx)
			return s.Waiters, err
		}}
	},
	"Limiter": func(rdb redis.UniversalClient, key string, h *history) primitive {
		l := semaphore.NewLimiter(rdb, key, semaphore.Every(10*time.Millisecond), 1)
		return primitive{hold: func(ctx context.Context) (held, error) {
			for range 3 {
				if err := l.Wait(ctx); err != nil {
					return held{}, err
				}
			}
			_, err := l.AllowContext(ctx)
			for range faults {
				if err != nil {
					_, err = l.AllowContext(ctx)
				}
			}
			return held{}, err
		}}
	},
	"WaitGroup": func(rdb redis.UniversalClient, key string, h *history) primitive {
		wg := waitgroup.New(rdb, key)
		wg.TTL, wg.Trace = ttl, (*waitgroup.Trace)(hooks[waitgroup.Event](h))
		return primitive{
			hold: func(ctx context.Context) (held, error) {
				if err := wg.AddContext(ctx, 1); err != nil {
					return held{}, err
				}
				task, err := wg.Claim(ctx)
				if err != nil {
					return held{}, err
				}
				return held{task.Err, task.Done}, nil
			},
			wait: func(ctx context.Context) (held, error) {
				return held{release: func() error { return nil }}, wg.WaitContext(ctx)
			},
		}
	},
}

// A history records events of a Trace.
type history struct {
	renewed, notified chan struct{}
}

func newHistory() *history { return &history{make(chan struct{}, 1), make(chan struct{}, 1)} }

// hooks returns a Trace for E, the Event of a public package.
func hooks[E ~trace.Fields](h *history) *trace.Hooks[E] {
	return trace.All(func(_ context.Context, e E) { h.add(trace.Event(e)) })
}

func (h *history) add(e trace.Event) {
	c := h.notified
	switch {
	case e.Hook == trace.Renewed:
		c = h.renewed
	case e.Path != trace.Notified:
		return
	}
	select {
	case c <- struct{}{}:
	default:
	}
}

// renewal waits for a Renewed event.
func (h *history) renewal(ctx context.Context) error {
	select {
	case <-h.renewed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// message reports whether a message has led to a grant.
func (h *history) message() bool { return len(h.notified) > 0 }
