package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

var errNetwork = errors.New("fake: connection lost")

// fault is what the network does to one request, or to one message.
type fault int

const (
	fine fault = iota
	lostRequest
	lostReply
	late        // the request is executed after the client has given up
	twice       // the request is executed again later
	slowRequest // the request arrives late
	slowReply   // the reply arrives late
	cut         // the connection breaks, and the client notices immediately
	lostMessage
	duplicatedMessage // the message arrives again later
	delayedMessage
)

type groupStore = taskgroup.Store

// fakeStore is one process's connection to a fakeRedis. The embedded interfaces are nil: no test calls
// the methods that fakeStore lacks.
type fakeStore struct {
	Store
	ValueStore
	groupStore

	redis      *fakeRedis
	mu         sync.Mutex // guards the next five fields, and what they use
	latency    func() time.Duration
	fault      func() fault
	message    time.Duration              // until a message arrives; negative: it is lost
	confirm    func() error               // reports whether enough replicas have a renewal
	refuse     func(request string) error // a non-nil error replaces the reply
	disconnect chan struct{}              // each value breaks the subscription for a while
	lag        func(most time.Duration) time.Duration
	point      func(what string) fault              // called wherever a fault may happen; returns that fault
	subscribe  func(ctx context.Context) *fakeStore // returns the store that a new subscription connects to
	redial     func(ctx context.Context, in bool)   // called before a subscription adds or removes a channel
}

// newFakeStore returns a connection without faults and with a latency of 50 µs.
func newFakeStore(r *fakeRedis) *fakeStore {
	s := &fakeStore{
		redis:      r,
		latency:    func() time.Duration { return 50 * time.Microsecond },
		fault:      func() fault { return fine },
		message:    50 * time.Microsecond,
		disconnect: make(chan struct{}),
		lag:        rand.N[time.Duration],
		confirm:    func() error { return nil },
		refuse:     func(string) error { return nil },
		point:      func(string) fault { return fine },
		redial:     func(context.Context, bool) {},
	}
	s.subscribe = func(context.Context) *fakeStore { return s }
	return s
}

// locked returns the result of f, which it calls under the mutex.
func locked[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}

// travel sleeps for the latency of a request or a reply.
func (s *fakeStore) travel() { time.Sleep(locked(&s.mu, func() time.Duration { return s.latency() })) }

// change runs f, which sets what the network does from now on, under the mutex.
func (s *fakeStore) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// inTurn returns a function that returns the values in turn, and then zero.
func inTurn[T any](values []T) func() T {
	return func() (v T) {
		if len(values) > 0 {
			v, values = values[0], values[1:]
		}
		return v
	}
}

// nextFaults sets the faults of the next requests. Later requests have none.
func (s *fakeStore) nextFaults(faults ...fault) { s.change(func() { s.fault = inTurn(faults) }) }

// setFault sets the fault of all requests.
func (s *fakeStore) setFault(f fault) {
	s.change(func() { s.fault = func() fault { return f } })
}

// setLatency sets the latency of each request and each reply.
func (s *fakeStore) setLatency(d time.Duration) {
	s.change(func() { s.latency = func() time.Duration { return d } })
}

// nextLatencies sets the latencies of the next requests and replies, in order. Later ones take no time.
func (s *fakeStore) nextLatencies(ds ...time.Duration) { s.change(func() { s.latency = inTurn(ds) }) }

// delayMessages sets when messages arrive. With a negative delay they are lost.
func (s *fakeStore) delayMessages(after time.Duration) { s.change(func() { s.message = after }) }

// setError makes all requests except renewals fail with err. If err is nil, they reach Redis again.
func (s *fakeStore) setError(err error) {
	s.change(func() {
		s.refuse = func(request string) error {
			if request == "renew" {
				return nil
			}
			return err
		}
	})
}

// call runs f at the server, as the network allows.
func call[T any](s *fakeStore, what string, f func() (T, []message)) (reply T, err error) {
	run := func() T {
		reply, messages := f()
		s.publish(messages)
		return reply
	}
	again := func() { time.AfterFunc(s.lag(2*time.Second), func() { run() }) }
	if err = locked(&s.mu, func() error { return s.refuse(what) }); err != nil {
		time.Sleep(time.Millisecond) // to Redis and back
		return reply, err
	}
	how := s.point("send " + what)
	s.travel()
	if how == fine {
		how = locked(&s.mu, func() fault { return s.fault() })
	}
	if how == slowRequest {
		time.Sleep(s.lag(2 * time.Second))
		how = fine
	}
	switch how {
	case lostRequest, cut:
	case late:
		again()
	case twice:
		again()
		fallthrough
	default:
		reply = run()
		switch s.point("run " + what) {
		case cut:
			how = cut
		case slowReply:
			time.Sleep(s.lag(2 * time.Second))
		}
	}
	switch how {
	case fine, twice:
		s.travel()
		return reply, nil
	case cut:
	default:
		time.Sleep(s.lag(300 * time.Millisecond))
	}
	return *new(T), errNetwork
}

func (s *fakeStore) publish(ms []message) {
	delay := locked(&s.mu, func() time.Duration { return s.message })
	if delay < 0 {
		return
	}
	for _, m := range ms {
		time.AfterFunc(delay, func() {
			for _, to := range locked(&s.redis.mu, func() []client.MessageHandler { return slices.Clone(s.redis.subs[m.channel]) }) {
				to.HandleMessage(m.channel, m.Handover)
			}
		})
	}
}

func (s *fakeStore) Acquire(_ context.Context, r Request) (Reply, error) {
	type result struct {
		Reply
		err error
	}
	got, err := call(s, "acquire", func() (got result, messages []message) {
		messages = s.redis.execute(r.Name, "acquire", func(k *fakeKey) (messages []message) {
			s.redis.requests++
			s.redis.log("%s %s n=%d from=%s keep=%d want=%d+%d order=%d queue=%v", r.Key, short(r.Token), r.Seq, short(r.Replaces), r.Keep, r.Want, r.Extra, r.WantSeq, r.Enqueue)
			got.Reply, messages, got.err = k.acquire(r)
			return messages
		})
		return got, messages
	})
	if err == nil {
		err = got.err
	}
	return got.Reply, err
}

func (s *fakeStore) Release(_ context.Context, name Name, token string) (owned bool, err error) {
	return call(s, "release", func() (owned bool, messages []message) {
		messages = s.redis.execute(name, "release "+short(token), func(k *fakeKey) (messages []message) {
			s.redis.releases++
			owned, messages = k.release(token)
			return messages
		})
		return owned, messages
	})
}

func (s *fakeStore) MaxBlock() time.Duration { return 300 * time.Millisecond }

func (s *fakeStore) IsPrompt(Name) bool { return false }

// NodeTag returns any tag. Contention notices still go to the channel of the process.
func (s *fakeStore) NodeTag(string) string { return "12" }

// Renew renews all holds in one request. A renewal fails after its timeout if too few replicas have it.
func (s *fakeStore) Renew(all []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	var begun []int
	for i := range all {
		if begin(i) {
			begun = append(begun, i)
		}
	}
	results, err := call(s, "renew", func() (results []RenewResult, _ []message) {
		for _, i := range begun {
			results = append(results, s.redis.renew(all[i]))
		}
		return results, nil
	})
	for n, i := range begun {
		r := RenewResult{Err: err}
		if err == nil {
			r = results[n]
		}
		if r.Held && all[i].Confirm.Replicas > 0 {
			if err := locked(&s.mu, func() error { return s.confirm() }); err != nil {
				time.Sleep(all[i].Confirm.Timeout())
				r = RenewResult{Err: err}
			}
		}
		done(i, r)
	}
}

// Subscribe subscribes again whenever the subscription is lost.
func (s *fakeStore) Subscribe(ctx context.Context, h client.MessageHandler) {
	for ctx.Err() == nil {
		to := s.subscribe(ctx)
		if to == nil {
			return
		}
		c := &fakeConnection{h, to, make(chan string, 10), make(chan struct{})}
		channels := h.Channels(c)
		to.travel()
		for _, channel := range channels {
			c.setChannel(channel, true)
		}
		c.serve(ctx)
		if ctx.Err() == nil {
			h.Disconnected()
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// fakeConnection is one subscription, to any channels, until it breaks.
type fakeConnection struct {
	client.MessageHandler
	store  *fakeStore
	acks   chan string   // channels that are about to be acknowledged
	broken chan struct{} // closed when the connection breaks
}

// serve acknowledges subscriptions until the connection breaks, or ctx ends.
func (c *fakeConnection) serve(ctx context.Context) {
	for broken := false; !broken; {
		select {
		case channel := <-c.acks:
			if broken = c.store.point("subscribed") == cut; !broken {
				c.Subscribed(channel)
			}
		case <-ctx.Done():
			broken = true
		case <-c.store.disconnect:
			broken = true
		}
	}
	r := c.store.redis
	r.mu.Lock()
	defer r.mu.Unlock()
	close(c.broken)
	for channel := range r.subs {
		c.remove(channel)
	}
}

// remove unsubscribes from a channel. The server is locked.
func (c *fakeConnection) remove(channel string) {
	r := c.store.redis
	r.subs[channel] = slices.DeleteFunc(r.subs[channel], func(h client.MessageHandler) bool { return h == client.MessageHandler(c) })
	if len(r.subs[channel]) == 0 {
		delete(r.subs, channel)
	}
}

// setChannel adds or removes a channel of this connection.
func (c *fakeConnection) setChannel(channel string, in bool) {
	r := c.store.redis
	r.mu.Lock()
	select {
	case <-c.broken:
		r.mu.Unlock()
		return
	default:
	}
	if in {
		r.subs[channel] = append(r.subs[channel], c)
	} else {
		c.remove(channel)
	}
	r.log("subscribed to %s: %v", channel, in)
	r.mu.Unlock()
	if in {
		select {
		case c.acks <- channel:
		case <-c.broken:
		}
	}
}

// SetChannel takes time, and may break the connection.
func (c *fakeConnection) SetChannel(ctx context.Context, channel string, in bool) error {
	s := c.store
	s.redial(ctx, in)
	s.travel()
	if locked(&s.mu, func() fault { return s.fault() }) != fine {
		time.Sleep(s.lag(time.Second))
		select {
		case s.disconnect <- struct{}{}:
		case <-c.broken:
		}
		return errors.New("fake: the subscription broke")
	}
	c.setChannel(channel, in)
	return nil
}

// HandleMessage delivers a message, which may be lost, delayed or duplicated.
func (c *fakeConnection) HandleMessage(channel string, h Handover) {
	again := func() {
		time.AfterFunc(c.store.lag(2*time.Second), func() { c.MessageHandler.HandleMessage(channel, h) })
	}
	switch c.store.point("message") {
	case lostMessage, cut:
		return
	case duplicatedMessage:
		again()
	case delayedMessage:
		again()
		return
	}
	c.MessageHandler.HandleMessage(channel, h)
}
