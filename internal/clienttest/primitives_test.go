package clienttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/semaphore"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A primitive is a lock, a semaphore, a limiter or a group, with a key and a client.
type primitive struct {
	hold    method
	wait    method                             // for the end of a hold; nil if a hold ends by itself
	try     method                             // fails with mutex.ErrLocked or semaphore.ErrNotAvailable; may be nil
	waiting func(context.Context) (int, error) // number of waiting processes; may be nil
	events  recorder
}

type method func(context.Context) (held, error)

// held has the methods of a lease or a task.
type held struct{ err, release func() error }

// A recorder is a redistest.Record of any package.
type recorder interface {
	Renewals() int
	Now() []string
}

// notified reports whether a message has led to a grant.
func (p primitive) notified() bool {
	return slices.ContainsFunc(p.events.Now(), func(line string) bool { return strings.HasSuffix(line, "notified") })
}

func taken(err error) bool {
	return errors.Is(err, mutex.ErrLocked) || errors.Is(err, semaphore.ErrNotAvailable)
}

// faults is the maximum number of faults of one operation by a hook that fails once for each key: all
// primitives share its pipelines.
const faults = 6

// lock returns a method that gets a lease of package mutex.
func lock(f func(context.Context) (*mutex.Lease, error)) method {
	return func(ctx context.Context) (held, error) {
		l, err := f(ctx)
		if err != nil {
			return held{}, err
		}
		return held{l.Err, l.Unlock}, nil
	}
}

// lockKeys returns a method that locks keys of a pool, or tries to.
func lockKeys(f func(context.Context, ...string) (*mutex.Lease, error), keys ...string) method {
	return lock(func(ctx context.Context) (*mutex.Lease, error) { return f(ctx, keys...) })
}

// permits returns a method that gets two permits.
func permits(f func(context.Context, int64) (*semaphore.Lease, error)) method {
	return func(ctx context.Context) (held, error) {
		l, err := f(ctx, 2)
		if err != nil {
			return held{}, err
		}
		return held{l.Err, l.Release}, nil
	}
}

var primitives = map[string]func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive{
	"Mutex": func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive {
		m, events := mutex.New(rdb, key), new(redistest.Record[mutex.Event])
		m.TTL, m.Trace = ttl, (*mutex.Trace)(events.Trace())
		waiting := func(ctx context.Context) (int, error) { s, err := m.Inspect(ctx); return s.Waiters, err }
		return primitive{lock(m.LockContext), lock(m.LockContext), lock(m.TryLockContext), waiting, events}
	},
	"RWMutex": func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive {
		m, events := mutex.NewRW(rdb, key), new(redistest.Record[mutex.Event])
		m.TTL, m.Trace = ttl, (*mutex.Trace)(events.Trace())
		waiting := func(ctx context.Context) (int, error) { s, err := m.Inspect(ctx); return s.Waiters, err }
		return primitive{lock(m.RLockContext), lock(m.LockContext), lock(m.TryLockContext), waiting, events}
	},
	// Keys of several slots, or shards.
	"Pool": func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive {
		p, events := mutex.NewPool(rdb, key), new(redistest.Record[mutex.Event])
		p.TTL, p.Trace = ttl, (*mutex.Trace)(events.Trace())
		waiting := func(ctx context.Context) (int, error) { s, err := p.Inspect(ctx, "2"); return s.Waiters, err }
		return primitive{lockKeys(p.LockContext, "1", "2", "3"), lockKeys(p.LockContext, "2", "4"), lockKeys(p.TryLockContext, "3"), waiting, events}
	},
	"Weighted": func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive {
		s, events := semaphore.NewWeighted(rdb, key, 3), new(redistest.Record[semaphore.Event])
		s.TTL, s.Trace = ttl, (*semaphore.Trace)(events.Trace())
		waiting := func(ctx context.Context) (int, error) { s, err := s.Inspect(ctx); return s.Waiters, err }
		return primitive{permits(s.AcquireLease), permits(s.AcquireLease), permits(s.TryAcquireLease), waiting, events}
	},
	"Limiter": func(rdb redis.UniversalClient, key string, _ time.Duration) primitive {
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
	"WaitGroup": func(rdb redis.UniversalClient, key string, ttl time.Duration) primitive {
		wg, events := waitgroup.New(rdb, key), new(redistest.Record[waitgroup.Event])
		wg.TTL, wg.Trace = ttl, (*waitgroup.Trace)(events.Trace())
		hold := func(ctx context.Context) (held, error) {
			if err := wg.AddContext(ctx, 1); err != nil {
				return held{}, err
			}
			task, err := wg.Claim(ctx)
			if err != nil {
				return held{}, err
			}
			return held{task.Err, task.Done}, nil
		}
		wait := func(ctx context.Context) (held, error) {
			return held{release: func() error { return nil }}, wg.WaitContext(ctx)
		}
		return primitive{hold: hold, wait: wait, events: events}
	},
}
