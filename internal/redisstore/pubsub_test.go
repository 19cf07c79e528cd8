package redisstore

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// recordingHandler is a MessageHandler that records its calls.
type recordingHandler struct {
	channel string
	events  chan any // "subscribed", "disconnected", or a lease.Handover
	ended   chan struct{}
	stop    context.CancelFunc
}

func (rec *recordingHandler) Channels(client.Subscriber) []string      { return []string{rec.channel} }
func (rec *recordingHandler) Subscribed(string)                        { rec.events <- "subscribed" }
func (rec *recordingHandler) Disconnected()                            { rec.events <- "disconnected" }
func (rec *recordingHandler) HandleMessage(_ string, h lease.Handover) { rec.events <- h }

// subscribe subscribes until the end of the test, and checks that Subscribe then returns.
func subscribe(t *testing.T, rdb *redis.Client, channel string) *recordingHandler {
	ctx, cancel := context.WithCancel(context.Background())
	rec := &recordingHandler{channel: channel, events: make(chan any, 1000), ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(rec.ended)
		NewStore(rdb).Subscribe(ctx, rec)
	}()
	t.Cleanup(func() { rec.end(t, redistest.Patience) })
	return rec
}

// end ends the ctx of the subscription, and checks that Subscribe returns in time.
func (rec *recordingHandler) end(t *testing.T, within time.Duration) {
	t.Helper()
	rec.stop()
	select {
	case <-rec.ended:
	case <-time.After(within):
		t.Errorf("Subscribe has not returned %v after the end of its ctx", within)
		<-rec.ended
	}
}

// receives checks the next call of the handler.
func (rec *recordingHandler) receives(t *testing.T, want any) {
	t.Helper()
	select {
	case got := <-rec.events:
		if got != want {
			t.Fatalf("received %v, want %v", got, want)
		}
	case <-time.After(redistest.Patience):
		t.Fatalf("did not receive %v", want)
	}
}

// awaitResubscribed waits until the handler is subscribed again, after any number of failures.
func (rec *recordingHandler) awaitResubscribed(t *testing.T) {
	t.Helper()
	for {
		select {
		case got := <-rec.events:
			if got == "subscribed" {
				return
			}
			equal(t, "the event before", got, any("disconnected"))
		case <-time.After(redistest.Patience):
			t.Fatal("not subscribed again")
		}
	}
}

// receivesPublished publishes a message, and checks that the handler receives it.
func (rec *recordingHandler) receivesPublished(t *testing.T, rdb *redis.Client, channel string) {
	t.Helper()
	check(t, rdb.Publish(t.Context(), channel, "m 3 0 1700000000000000 1 0 token key").Err())
	rec.receives(t, lease.Handover{Name: mutexAt("key"), Seq: 3, FenceBase: 1700000000000000, Token: "token", Weight: 1})
}

func TestSubscribe(t *testing.T) {
	eachServer(t, func(r *rig) {
		rec := subscribe(t, r.rdb, "c")
		rec.receives(t, "subscribed")
		rec.receivesPublished(t, r.rdb, "c") // the subscription was acknowledged
		for _, payload := range []string{"", " ", "m", "m 1 0 2 1 0 token", "m x 0 2 1 0 token key", "m 1 0 x 1 0 token key", "m 1  0 2 1 0 token key", "m 1.5 0 2 1 0 token key", "mm 1 0 2 1 0 token key", "m 99999999999999999999 0 2 1 0 token key"} {
			check(t, r.rdb.Publish(r.Context(), "c", payload).Err())
		}
		check(t, r.rdb.Publish(r.Context(), "another", "m 1 0 2 1 0 token key").Err())
		for _, key := range append([]string{"", " ", "  a  b  "}, odd...) {
			check(t, r.rdb.Publish(r.Context(), "c", "m 1 0 2 1 0 token "+key).Err())
			rec.receives(t, lease.Handover{Name: mutexAt(key), Seq: 1, FenceBase: 2, Token: "token", Weight: 1})
		}
		rec.end(t, redistest.Patience)
		redistest.Eventually(t, 5*time.Second, func() bool {
			return r.rdb.PubSubNumSub(r.Context(), "c").Val()["c"] == 0
		}, "the server has no subscriber")
		equal(t, "further events", len(rec.events), 0)
	})
}

// Messages before the acknowledgement may be lost, so Subscribed must come after it.
func TestSubscribedMeansAcknowledged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := p.Client(t)
	check(t, rdb.Ping(t.Context()).Err())
	p.CutNextReply("subscribe")
	rec := subscribe(t, rdb, "c")
	rec.receives(t, "disconnected")
	rec.receives(t, "subscribed")
	equal(t, "replies cut", p.Faults().RepliesCut, 1)
	equal(t, "subscribers", s.Subscribers(t, "c"), 1)
	rec.receivesPublished(t, rdb, "c")
}

// network is the network between a client in a bubble and its server.
type network struct {
	silent atomic.Bool // drops what the client writes, so that there is no reply
	down   atomic.Bool
	dials  atomic.Int64
}

// cut silences all connections, and refuses new ones.
func (n *network) cut(on bool) {
	n.silent.Store(on)
	n.down.Store(on)
}

type silenced struct {
	net.Conn
	*network
}

func (s *silenced) Write(p []byte) (int, error) {
	if s.silent.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// bubbled runs f in a bubble, with a client whose network can fail.
func bubbled(t *testing.T, f func(t *testing.T, rdb *redis.Client, n *network)) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		f(t, redistest.MiniClient(t, redistest.Mini(t), func(o *redis.Options) {
			dial := o.Dialer
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				n.dials.Add(1)
				if n.down.Load() {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
				}
				conn, err := dial(ctx, network, addr)
				return &silenced{conn, n}, err
			}
		}), n)
	})
}

// A peer that has silently gone is detected by two pings.
func TestSilentSubscriptionIsGivenUp(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		rec := subscribe(t, rdb, "c")
		rec.receives(t, "subscribed")
		time.Sleep(time.Minute + time.Second) // between two pings
		start := time.Now()
		n.silent.Store(true)
		rec.receives(t, "disconnected")
		if d := time.Since(start); d > 2*pingInterval {
			t.Errorf("detected after %v", d)
		}
		n.silent.Store(false)
		rec.awaitResubscribed(t)
		rec.receivesPublished(t, rdb, "c")
		n.silent.Store(true)
		rec.end(t, time.Millisecond)
	})
}

// During an outage, Subscribe tries about once a second, with five dials of go-redis for each try. It
// detects the end of the outage as soon.
func TestSubscriptionBacksOff(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		rec := subscribe(t, rdb, "c")
		rec.receives(t, "subscribed")
		n.cut(true)
		rec.receives(t, "disconnected")
		before := n.dials.Load()
		time.Sleep(time.Minute)
		if tries := len(rec.events); tries < 30 || tries > 90 {
			t.Errorf("%d tries in a minute", tries)
		}
		if dials := n.dials.Load() - before; dials > 5*90 {
			t.Errorf("%d dials in a minute", dials)
		}
		n.cut(false)
		start := time.Now()
		rec.awaitResubscribed(t)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("subscribed again after %v", d)
		}
		// Once subscribed, it starts with short pauses again.
		n.cut(true)
		rec.receives(t, "disconnected")
		n.cut(false)
		start = time.Now()
		rec.awaitResubscribed(t)
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("after a short break subscribed again after %v", d)
		}
	})
}

// TestNodeChannelWithoutSubscriber hands over to waiters that name the channel of a node. If that
// channel has no subscriber, the message goes to the channel of the process.
func TestNodeChannelWithoutSubscriber(t *testing.T) {
	eachPath(t, func(r *rig) {
		const node, process = "baton:@{1}:process", "baton:process"
		handOver := func() []string {
			r.held(a)
			q := r.request(b, 1)
			q.Channel = node
			must(r.Acquire(r.Context(), q))(r.T)
			defer r.release(b)
			return r.published(func() { r.release(a) })
		}
		if messages := handOver(); len(messages) != 1 || !strings.HasPrefix(messages[0], process+": m 1 ") {
			r.Errorf("published %q", messages)
		}
		sub := r.rdb.SSubscribe(r.Context(), node)
		defer sub.Close()
		if _, err := sub.Receive(r.Context()); err != nil {
			r.Skip("the server has no channels of nodes: ", err)
		}
		equal(r.T, "messages to the process", len(handOver()), 0)
		if m := must(sub.ReceiveMessage(r.Context()))(r.T); !strings.HasPrefix(m.Payload, "m 1 ") {
			r.Errorf("received %q", m.Payload)
		}
	})
}
