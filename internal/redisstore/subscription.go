package redisstore

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// probe is how long a subscription may be silent before it is asked for a sign
// of life, and how long it then has to give one. go-redis' own health check
// writes a PING but does not wait for the answer, so it never notices a peer
// that has gone without a word.
const probe = 3 * time.Second

// Listen keeps one subscription until ctx ends. One goroutine reads from it: this
// one.
func (s *Store) Listen(ctx context.Context, l lease.Listener) {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	for ctx.Err() == nil {
		s.hear(ctx, l, pause.Reset)
		if ctx.Err() != nil {
			return
		}
		l.Deaf()
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// hear subscribes and listens until the subscription breaks. It does not use
// go-redis' own reconnection: that is silent, and what was published meanwhile
// is lost, so the caller must be told.
func (s *Store) hear(ctx context.Context, l lease.Listener, healthy func()) {
	sub := s.rdb.Subscribe(context.Background())
	defer sub.Close()
	if sub.Subscribe(ctx, l.Channels(tuner{sub})...) != nil {
		return
	}
	// go-redis cannot interrupt a read; closing the connection does. Not sooner:
	// Close waits for a connection that is being made, on a mutex, and a test's
	// bubble with its clock would stand still.
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	for quiet := false; ; {
		event, err := sub.ReceiveTimeout(ctx, probe)
		switch event := event.(type) {
		case *redis.Subscription:
			if event.Kind == "subscribe" {
				healthy()
				l.Subscribed(event.Channel)
			}
		case *redis.Message:
			if h, ok := parse(event.Payload); ok {
				l.Heard(h)
			}
		}
		timeout, ok := err.(net.Error)
		switch {
		case err == nil:
			quiet = false
		case !ok || !timeout.Timeout() || quiet || sub.Ping(ctx) != nil:
			return
		default:
			quiet = true
		}
	}
}

// tuner changes what a subscription hears. go-redis allows that while another
// goroutine receives.
type tuner struct{ sub *redis.PubSub }

func (t tuner) Tune(ctx context.Context, channel string, in bool) error {
	if in {
		return t.sub.Subscribe(ctx, channel)
	}
	return t.sub.Unsubscribe(ctx, channel)
}

// parse reads "kind n order base weight awaited token key", as the scripts write it. The
// key comes last, for it may hold anything. That a round is over reads
// "w round 0 0 abandoned 0 - key".
func parse(payload string) (h lease.Handover, ok bool) {
	part := strings.SplitN(payload, " ", 8)
	if len(part) != 8 || len(part[0]) != 1 {
		return h, false
	}
	var n [4]int64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(part[1+i], 10, 64); err != nil {
			return h, false
		}
	}
	name := lease.Name{Kind: lease.Kind(part[0][0]), Key: part[7]}
	return lease.Handover{Name: name, Token: part[6], N: n[0], Order: n[1], Base: n[2], Weight: n[3], Awaited: part[5] == "1"}, true
}
