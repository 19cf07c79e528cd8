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

// A handoverEvent is a hand-over, or a change of the subscription.
type handoverEvent struct {
	handover *engine.Handover
	polling  bool
	at       time.Time
}

// receiveHandovers sends hand-overs to the channel. If the channel is full, they are dropped: the
// next poll shows the result.
func receiveHandovers(ctx context.Context, rdb *redis.Client, to chan<- handoverEvent) {
	for ctx.Err() == nil {
		_ = redisstore.WatchHandovers(ctx, rdb, func() { to <- handoverEvent{} }, func(h engine.Handover) {
			select {
			case to <- handoverEvent{handover: &h, at: time.Now()}:
			default:
			}
		})
		select {
		case to <- handoverEvent{polling: true}:
		case <-ctx.Done():
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// kindNames translates the kinds of messages.
var kindNames = map[engine.Kind]string{engine.Mutex: isMutex, engine.RWMutex: isRWMutex, engine.Semaphore: isSemaphore}

func (b *board) handleEvent(h handoverEvent) {
	kind := ""
	switch {
	case h.handover == nil:
		b.polling = h.polling
		return
	case !b.scanner.matches(h.handover.Key):
		return
	default:
		kind = kindNames[h.handover.Kind]
	}
	r := b.rows[h.handover.Key]
	if r == nil {
		if len(b.rows) >= maxShown {
			return
		}
		r = b.add(h.handover.Key)
	}
	if kind != isMutex || !exclusive(r.kind) { // a message does not contain the value stored with a mutex
		r.kind = kind
	}
	r.handedOver(mutex.Owner(client.ParseOwner(h.handover.Token)), h.handover.FenceBase*engine.FencesPerGrant, h.at)
	b.change(r)
}
