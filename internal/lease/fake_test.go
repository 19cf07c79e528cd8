package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/client"
	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// fakeRedis does in Go what the scripts do, on the clock of the bubble.
type fakeRedis struct {
	mu      sync.Mutex
	keys    map[string]*fakeKey
	subs    map[string][]client.MessageHandler // by channel
	permits map[Name]*fakePermits
	group   *fakeGroup
	counts
	log func(format string, args ...any)
}

// counts are what was executed and published.
type counts struct{ requests, releases, renewals, messages int }

func (f *fakeRedis) counted() counts { return locked(&f.mu, func() counts { return f.counts }) }

type fakeKey struct {
	owner   string
	expires time.Time
	base    int64
	queue   []*fakeMutexWaiter
	value   fakeValue
}

type fakeMutexWaiter struct {
	token, channel string
	seq            int64
	handoverTTL    time.Duration
	seen           time.Time
}

func newFakeRedis() *fakeRedis {
	f := &fakeRedis{keys: map[string]*fakeKey{}, subs: map[string][]client.MessageHandler{}, permits: map[Name]*fakePermits{}, log: func(string, ...any) {}}
	f.group = &fakeGroup{fakeRedis: f, tasks: map[string]int64{}, lost: map[int64]int64{}, sessions: map[string]*fakeSession{}}
	return f
}

// logf is log for a caller that has not locked the fake.
func (f *fakeRedis) logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log(format, args...)
}

func (f *fakeRedis) key(name string) *fakeKey {
	k := f.keys[name]
	if k == nil {
		k = &fakeKey{}
		f.keys[name] = k
	}
	if k.owner != "" && !time.Now().Before(k.expires) {
		f.log("expired %s", k.owner)
		k.owner = ""
	}
	return k
}

func (k *fakeKey) grant(token string, ttl time.Duration) int64 {
	k.base = max(k.base+1, time.Now().UnixMicro())
	k.owner, k.expires = token, time.Now().Add(ttl)
	return k.base
}

// nextWaiter removes the first live waiter from the queue and returns it. The waiter with the
// token self counts as live.
func (k *fakeKey) nextWaiter(self string) *fakeMutexWaiter {
	for len(k.queue) > 0 {
		e := k.queue[0]
		k.queue = k.queue[1:]
		if e.token == self || time.Since(e.seen) < WaiterTTL {
			return e
		}
	}
	return nil
}

func (k *fakeKey) enqueue(r Request) {
	if !r.Enqueue {
		return
	}
	for _, e := range k.queue {
		if e.token == r.Token {
			e.seq, e.seen = r.Seq, time.Now()
			return
		}
	}
	k.queue = append(k.queue, &fakeMutexWaiter{r.Token, r.Channel, r.Seq, r.HandoverTTL, time.Now()})
}

func (k *fakeKey) queued(token string) bool {
	return slices.ContainsFunc(k.queue, func(e *fakeMutexWaiter) bool { return e.token == token })
}

func (k *fakeKey) dequeue(token string) {
	k.queue = slices.DeleteFunc(k.queue, func(e *fakeMutexWaiter) bool { return e.token == token })
}

// message is a hand-over on its way to a subscriber.
type message struct {
	channel string
	Handover
}

func (f *fakeRedis) handOver(name string, k *fakeKey, e *fakeMutexWaiter) []message {
	base := k.grant(e.token, e.handoverTTL)
	f.messages++
	f.log("handed to %s n=%d", e.token, e.seq)
	return []message{{e.channel, Handover{Name: Name{Kind: Mutex, Key: name}, Token: e.token, Seq: e.seq, FenceBase: base, Weight: 1, Contended: len(k.queue) > 0}}}
}

// notify publishes a contention notice to the owner, if the owner's token asks for it and r is
// the first waiter. It reports whether the owner may linger.
func (f *fakeRedis) notify(k *fakeKey, r Request) (messages []message, mayLinger bool) {
	mark, channel := client.ParseMark(k.owner)
	for len(k.queue) > 1 && k.queue[0].token != r.Token && time.Since(k.queue[0].seen) >= WaiterTTL {
		k.queue = k.queue[1:]
	}
	if mark != "" && r.Enqueue && k.queue[0].token == r.Token {
		f.messages++
		f.log("contention notice to %s", k.owner)
		messages = []message{{channel, Handover{Name: r.Name, Token: k.owner, Contended: true}}}
	}
	return messages, mark == lingerMark
}

func (f *fakeRedis) acquire(r Request) (Reply, []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	return f.acquireLocked(r)
}

// acquireLocked is acquire for a caller that has locked the fake.
func (f *fakeRedis) acquireLocked(r Request) (Reply, []message) {
	k := f.key(r.Key)
	f.log("acquire %s n=%d from=%s owner=%s", r.Token, r.Seq, r.Replaces, k.owner)
	switch {
	case k.owner == r.Token:
		k.expires = time.Now().Add(r.TTL)
		return Reply{Granted: true, Weight: 1, GrantedNow: 1, FenceBase: k.base, Contended: len(k.queue) > 0}, nil
	case r.Replaces != "" && k.owner != r.Replaces:
		if k.owner != "" && r.Enqueue && k.queued(r.Token) {
			k.enqueue(r)
			return Reply{Remaining: time.Until(k.expires)}, nil
		}
		return Reply{Lost: true}, nil
	case k.owner == "" || k.owner == r.Replaces:
		self := r.Token
		if r.Replaces != "" {
			self = ""
		}
		e := k.nextWaiter(self)
		if e == nil || e.token == r.Token {
			return Reply{Granted: true, Weight: 1, GrantedNow: 1, FenceBase: k.grant(r.Token, r.TTL), Contended: len(k.queue) > 0}, nil
		}
		k.enqueue(r)
		return Reply{Remaining: e.handoverTTL}, f.handOver(r.Key, k, e)
	}
	k.enqueue(r)
	messages, mayLinger := f.notify(k, r)
	return Reply{Remaining: time.Until(k.expires), MayLinger: mayLinger}, messages
}

func (f *fakeRedis) release(name, token string) (bool, []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.releases++
	return f.releaseLocked(name, token)
}

func (f *fakeRedis) releaseLocked(name, token string) (bool, []message) {
	k := f.key(name)
	f.log("release %s owner=%s", token, k.owner)
	owned := k.owner == token
	if owned {
		k.owner = ""
	}
	k.dequeue(token)
	if k.owner == "" {
		if e := k.nextWaiter(""); e != nil {
			return owned, f.handOver(name, k, e)
		}
	}
	return owned, nil
}

func (f *fakeRedis) renew(r Renewal) RenewResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Kind {
	case Mutex:
	case taskgroup.Kind:
		return RenewResult{Held: f.group.renewTask(r)}
	default:
		return f.renewPermits(r)
	}
	k := f.key(r.Key)
	if k.owner != r.Token {
		return RenewResult{}
	}
	f.log("renew %s", r.Token)
	f.renewals++
	k.expires = time.Now().Add(r.TTL)
	return RenewResult{Held: true, Contended: r.Contention && len(k.queue) > 0, NoValue: r.Value && k.value.Value == nil}
}

var errNetwork = errors.New("fake: connection lost")

// fault is what the network does to one request.
type fault int

const (
	fine fault = iota
	lostRequest
	lostReply
	late        // the request is executed after the client has given up
	twice       // the request is executed again later
	cut         // the connection breaks, and the client notices immediately
	slowRequest // the request arrives late
	slowReply   // the reply arrives late
	// Faults of a message:
	lostMessage
	duplicatedMessage // the message arrives again later
	delayedMessage
)

// fakeStore is one process's connection to a fakeRedis.
type fakeStore struct {
	redis      *fakeRedis
	mu         sync.Mutex // guards the next five fields, and what they use
	latency    func() time.Duration
	fault      func() fault
	message    func() (copies int, delay time.Duration)
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
		message:    func() (int, time.Duration) { return 1, 50 * time.Microsecond },
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
func (s *fakeStore) delayMessages(after time.Duration) {
	s.change(func() {
		s.message = func() (int, time.Duration) {
			if after < 0 {
				return 0, 0
			}
			return 1, after
		}
	})
}

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
	if how == fine || how == twice {
		s.travel()
		if s.point("reply "+what) != cut {
			return reply, nil
		}
		how = cut
	}
	if how != cut {
		time.Sleep(s.lag(300 * time.Millisecond))
	}
	s.point("fail " + what)
	return *new(T), errNetwork
}

func (s *fakeStore) publish(ms []message) {
	for _, m := range ms {
		s.mu.Lock()
		copies, delay := s.message()
		s.mu.Unlock()
		for range copies {
			time.AfterFunc(delay, func() {
				for _, to := range locked(&s.redis.mu, func() []client.MessageHandler { return slices.Clone(s.redis.subs[m.channel]) }) {
					to.HandleMessage(m.channel, m.Handover)
				}
			})
		}
	}
}

func (s *fakeStore) Acquire(_ context.Context, r Request) (Reply, error) {
	switch {
	case r.Value != nil && r.Replaces == "":
		type replies struct {
			Reply
			value ValueReply
		}
		reply, err := call(s, "acquire", func() (r2 replies, m []message) {
			r2.Reply, r2.value, m = s.redis.acquireWithValue(r)
			return r2, m
		})
		if err == nil {
			r.Value.Note(reply.value, reply.FenceBase, reply.Found)
		}
		return reply.Reply, err
	case r.Kind == Mutex:
		return call(s, "acquire", func() (Reply, []message) { return s.redis.acquire(r) })
	}
	reply, err := call(s, "acquire", func() (permitsReply, []message) { return s.redis.updatePermits(r) })
	if err == nil {
		err = reply.err
	}
	return reply.Reply, err
}

func (s *fakeStore) MaxBlock() time.Duration { return 300 * time.Millisecond }

func (s *fakeStore) Inspect(context.Context, Name) (Status, error) { panic("no test calls it") }

func (s *fakeStore) IsPrompt(Name) bool { return false }

// NodeTag returns any tag. Contention notices still go to the channel of the process.
func (s *fakeStore) NodeTag(string) string { return "12" }

func (s *fakeStore) Release(_ context.Context, name Name, token string) (owned bool, err error) {
	return call(s, "release", func() (bool, []message) {
		if name.Kind != Mutex {
			return s.redis.releasePermits(name, token)
		}
		return s.redis.release(name.Key, token)
	})
}

// Renew renews all holds in one request.
func (s *fakeStore) Renew(all []Renewal, begin func(int) bool, done func(int, RenewResult)) {
	var rs []Renewal
	var begun []int
	for i, r := range all {
		if begin(i) {
			rs, begun = append(rs, r), append(begun, i)
		}
	}
	results, err := call(s, "renew", func() (results []RenewResult, _ []message) {
		for _, r := range rs {
			results = append(results, s.redis.renew(r))
		}
		return results, nil
	})
	if err != nil {
		results = slices.Repeat([]RenewResult{{Err: err}}, len(rs))
	}
	s.wait(rs, results)
	for i, r := range results {
		done(begun[i], r)
	}
}

// wait stands for the WAIT command: a renewal fails after its timeout if too few replicas have it.
func (s *fakeStore) wait(rs []Renewal, results []RenewResult) {
	for i, r := range rs {
		if !results[i].Held || r.Confirm.Replicas == 0 {
			continue
		}
		if err := locked(&s.mu, func() error { return s.confirm() }); err != nil {
			time.Sleep(r.Confirm.Timeout())
			results[i] = RenewResult{Err: err}
		}
	}
}

func (f *fakeRedis) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := ""
	for name := range f.keys {
		k := f.key(name)
		text += fmt.Sprintf("%s: owner %q, %d waiting\n", name, k.owner, len(k.queue))
	}
	return text
}
