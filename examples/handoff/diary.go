package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A name tells the workers of all processes apart.
type name struct{ pid, n int }

// A handover is how the lock came to a worker.
type handover struct {
	from   name          // who had it before; zero if that is not known
	prior  int64         // the fence of that hold
	died   bool          // who had it before never called Unlock
	waited bool          // or did so when this worker waited already, which then took so long:
	took   time.Duration // from there to the receipt here
}

// A diary is one entry in Redis that each holder of the lock, in whichever
// process, finds and overwrites: who holds it, or who held it last and when that
// one called Unlock. It serves to measure; the lock does without.
//
// Between workers of one process took is exact. Between processes it is by the
// wall clock, which they share on one machine; on several it is wrong by as much
// as their clocks differ. And the entry has to be written before Unlock, so that
// one round trip is counted that is no part of the hand-over: it took less.
type diary struct {
	rdb  redis.UniversalClient
	key  string
	last atomic.Pointer[departure] // of this process
}

type departure struct {
	fence int64
	at    time.Time
}

// arrive says that w holds the lock, and tells how it came by it.
func (d *diary) arrive(l *mutex.Lease, w name, asked, received time.Time) (h handover, err error) {
	var left int64
	last, err := d.write(l, w, time.Time{})
	switch {
	case err == redis.Nil: // w is the first
		return h, nil
	case err != nil:
		return h, err
	}
	if _, err := fmt.Sscan(last, &h.prior, &h.from.pid, &h.from.n, &left); err != nil {
		return h, fmt.Errorf("the diary says %q: %w", last, err)
	}
	if left == 0 {
		h.died = true
		return h, nil
	}
	at := time.Unix(0, left)
	if last := d.last.Load(); last != nil && last.fence == h.prior {
		at = last.at
	}
	h.waited, h.took = asked.Before(at), received.Sub(at)
	return h, nil
}

// leave says that w is about to call Unlock. Who has lost the lock says nothing:
// it is another's diary now.
func (d *diary) leave(l *mutex.Lease, w name) error {
	if l.Err() != nil {
		return nil
	}
	_, err := d.write(l, w, time.Now())
	d.last.Store(&departure{l.Fence(), time.Now()})
	if err == redis.Nil { // it has expired, or was deleted
		return nil
	}
	return err
}

// write returns the entry that it replaces.
func (d *diary) write(l *mutex.Lease, w name, left time.Time) (old string, err error) {
	var at int64
	if !left.IsZero() {
		at = left.UnixNano()
	}
	// What is done under the lock ends with the lease.
	ctx, stop := l.Context(context.Background())
	defer stop()
	entry := fmt.Sprint(l.Fence(), w.pid, w.n, at)
	return d.rdb.SetArgs(ctx, d.key, entry, redis.SetArgs{Get: true, TTL: time.Minute}).Result()
}
