package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/mutex"
)

// A name identifies a worker among those of all processes.
type name struct{ pid, n int }

// A handover describes how a worker acquired the lock.
type handover struct {
	from   name          // the previous holder, or zero if unknown
	prior  int64         // the fencing token of its hold
	died   bool          // the previous holder never called Unlock
	waited bool          // this worker was waiting at that Unlock
	took   time.Duration // from that Unlock until this worker received the lock
}

// A diary is an entry in Redis that each holder of the lock reads and overwrites. It contains
// the current holder, or the last holder and the time of its Unlock. The lock does not need the
// diary; the demonstration uses it to measure hand-overs.
//
// Within a process, took is exact. Between processes, it is off by the difference of their wall
// clocks. The entry is written before Unlock, so took includes one round trip that is not part
// of the hand-over.
type diary struct {
	rdb  redis.UniversalClient
	key  string
	last atomic.Pointer[unlockTime] // last Unlock of this process
}

type unlockTime struct {
	fence int64
	at    time.Time
}

// arrive records that w holds the lock, and returns how w acquired it.
func (d *diary) arrive(l *mutex.Lease, w name, requested, received time.Time) (h handover, err error) {
	var left int64
	last, err := d.write(l, w, time.Time{})
	switch {
	case err == redis.Nil: // the first holder
		return h, nil
	case err != nil:
		return h, err
	}
	if _, err := fmt.Sscan(last, &h.prior, &h.from.pid, &h.from.n, &left); err != nil {
		return h, fmt.Errorf("invalid diary entry %q: %w", last, err)
	}
	if left == 0 {
		h.died = true
		return h, nil
	}
	at := time.Unix(0, left)
	if last := d.last.Load(); last != nil && last.fence == h.prior {
		at = last.at
	}
	h.waited, h.took = requested.Before(at), received.Sub(at)
	return h, nil
}

// leave records that w is about to call Unlock. After a loss, it records nothing.
func (d *diary) leave(l *mutex.Lease, w name) error {
	if l.Err() != nil {
		return nil
	}
	_, err := d.write(l, w, time.Now())
	d.last.Store(&unlockTime{l.Fence(), time.Now()})
	if err == redis.Nil { // expired or deleted
		return nil
	}
	return err
}

// write replaces the entry and returns the old one.
func (d *diary) write(l *mutex.Lease, w name, left time.Time) (old string, err error) {
	var at int64
	if !left.IsZero() {
		at = left.UnixNano()
	}
	// The write is canceled if the lock is lost.
	ctx, stop := l.Context(context.Background())
	defer stop()
	entry := fmt.Sprint(l.Fence(), w.pid, w.n, at)
	return d.rdb.SetArgs(ctx, d.key, entry, redis.SetArgs{Get: true, TTL: time.Minute}).Result()
}
