package main

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	engine "github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redisstore"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A heard is a hand-over, or the news that hand-overs are received from now on, or no longer.
type heard struct {
	handover *engine.Handover
	deaf     bool
	at       time.Time
}

// listen puts hand-overs into to. Those for which there is no room are dropped: the next look
// shows what they have led to.
func listen(ctx context.Context, rdb *redis.Client, to chan<- heard) {
	for ctx.Err() == nil {
		_ = redisstore.WatchHandovers(ctx, rdb, func() { to <- heard{} }, func(h engine.Handover) {
			select {
			case to <- heard{handover: &h, at: time.Now()}:
			default:
			}
		})
		select {
		case to <- heard{deaf: true}:
		case <-ctx.Done():
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// kinds are the words of the page for those of messages.
var kinds = map[engine.Kind]string{engine.Mutex: isMutex, engine.RWMutex: isRWMutex, engine.Semaphore: isSemaphore}

func (b *board) hear(h heard) {
	kind := ""
	switch {
	case h.handover == nil:
		b.deaf = h.deaf
		return
	case !b.scanner.wants(h.handover.Key):
		return
	default:
		kind = kinds[h.handover.Kind]
	}
	r := b.rows[h.handover.Key]
	if r == nil {
		if len(b.rows) >= maxShown {
			return
		}
		r = b.add(h.handover.Key)
	}
	if kind != isMutex || !exclusive(r.kind) { // a message does not contain the value beside a mutex
		r.kind = kind
	}
	r.handedOver(mutex.Owner(client.ParseOwner(h.handover.Token)), h.handover.FenceBase*engine.FencesPerGrant, h.at)
	b.change(r)
}
