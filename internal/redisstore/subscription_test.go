package redisstore

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/lease"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// ear is a listener whose test reads what it was told.
type ear struct {
	channel string
	told    chan any // "subscribed", "deaf", or a lease.Handover
	ended   chan struct{}
	stop    context.CancelFunc
}

func (e *ear) Channels(lease.Tuner) []string { return []string{e.channel} }
func (e *ear) Subscribed(string)             { e.told <- "subscribed" }
func (e *ear) Deaf()                         { e.told <- "deaf" }
func (e *ear) Heard(h lease.Handover)        { e.told <- h }

// listen listens until the end of the test, and checks that it then ends.
func listen(t *testing.T, rdb *redis.Client, channel string) *ear {
	ctx, cancel := context.WithCancel(context.Background())
	e := &ear{channel: channel, told: make(chan any, 1000), ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(e.ended)
		NewStore(rdb).Listen(ctx, e)
	}()
	t.Cleanup(func() { e.end(t, 2*time.Second) })
	return e
}

// end ends the listener's ctx, and checks that it returns in time.
func (e *ear) end(t *testing.T, within time.Duration) {
	t.Helper()
	e.stop()
	select {
	case <-e.ended:
	case <-time.After(within):
		t.Errorf("Listen has not returned %v after its ctx ended", within)
		<-e.ended
	}
}

// hears waits for what the listener is told next.
func (e *ear) hears(t *testing.T, want any) {
	t.Helper()
	select {
	case got := <-e.told:
		if got != want {
			t.Fatalf("told %v, want %v", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("not told %v", want)
	}
}

// returns waits until the listener is subscribed again, however often it fails.
func (e *ear) returns(t *testing.T) {
	t.Helper()
	for {
		select {
		case got := <-e.told:
			if got == "subscribed" {
				return
			}
			equal(t, "told meanwhile", got, any("deaf"))
		case <-time.After(20 * time.Second):
			t.Fatal("not subscribed again")
		}
	}
}

// says publishes a message and checks that it is heard.
func (e *ear) says(t *testing.T, rdb *redis.Client, channel string) {
	t.Helper()
	check(t, rdb.Publish(t.Context(), channel, "m 3 0 1700000000000000 1 0 token key").Err())
	e.hears(t, lease.Handover{Name: mutexAt("key"), N: 3, Base: 1700000000000000, Token: "token", Weight: 1})
}

func TestListen(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		e := listen(t, r.rdb, "c")
		e.hears(t, "subscribed")
		e.says(t, r.rdb, "c") // and nothing was published in vain: it was acknowledged
		for _, payload := range []string{"", " ", "m", "m 1 0 2 1 0 token", "m x 0 2 1 0 token key", "m 1 0 x 1 0 token key", "m 1  0 2 1 0 token key", "m 1.5 0 2 1 0 token key", "mm 1 0 2 1 0 token key", "m 99999999999999999999 0 2 1 0 token key"} {
			check(t, r.rdb.Publish(r.Context(), "c", payload).Err())
		}
		check(t, r.rdb.Publish(r.Context(), "another", "m 1 0 2 1 0 token key").Err())
		for _, key := range append([]string{"", " ", "  a  b  "}, odd...) {
			check(t, r.rdb.Publish(r.Context(), "c", "m 1 0 2 1 0 token "+key).Err())
			e.hears(t, lease.Handover{Name: mutexAt(key), N: 1, Base: 2, Token: "token", Weight: 1})
		}
		e.end(t, time.Second)
		redistest.Eventually(t, 5*time.Second, func() bool {
			return r.rdb.PubSubNumSub(r.Context(), "c").Val()["c"] == 0
		}, "the server has no subscriber")
		equal(t, "told further", len(e.told), 0)
	})
}

// From the scripts to the listener, with keys that may hold anything.
func TestHandOverIsHeard(t *testing.T) {
	t.Parallel()
	eachServer(t, func(r *rig) {
		e := listen(t, r.rdb, channelOf(b))
		e.hears(t, "subscribed")
		for _, key := range odd {
			k := newRig(t, r.rdb, key)
			k.held(a, b)
			k.ask(b, 2)
			k.release(a)
			e.hears(t, lease.Handover{Name: mutexAt(key), N: 2, Base: k.last(), Token: b, Weight: 1})
		}
	})
}

// Messages that were sent before the acknowledgement are heard by nobody, so it
// must be waited for.
func TestSubscribedMeansAcknowledged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := p.Client(t)
	check(t, rdb.Ping(t.Context()).Err())
	p.CutNextReply("subscribe")
	e := listen(t, rdb, "c")
	e.hears(t, "deaf")
	e.hears(t, "subscribed")
	equal(t, "replies cut", p.Fired().RepliesCut, 1)
	equal(t, "subscribers", s.Subscribers(t, "c"), 1)
	e.says(t, rdb, "c")
}

func TestSubscriptionThatBreaks(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	rdb := p.Client(t)
	e := listen(t, rdb, "c")
	e.hears(t, "subscribed")
	for _, fault := range []func(){
		func() { equal(t, "dropped", p.DropSubscribers(), 1) },
		func() { equal(t, "killed", s.Do(t, "CLIENT", "KILL", "TYPE", "pubsub"), any(int64(1))) },
	} {
		fault()
		e.hears(t, "deaf")
		e.returns(t)
		e.says(t, rdb, "c")
		equal(t, "subscribers", s.Subscribers(t, "c"), 1)
	}
}

func TestSubscriptionWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	e := listen(t, rdb, "c")
	e.hears(t, "subscribed")
	s.Kill()
	e.hears(t, "deaf")
	e.hears(t, "deaf") // it tries on
	check(t, s.Restart())
	e.returns(t)
	e.says(t, rdb, "c")
	s.Kill()
	e.hears(t, "deaf")
	e.end(t, time.Second)
}

// go-redis would wait for ever, and say nothing.
func TestSubscriptionWithoutPermission(t *testing.T) {
	t.Parallel()
	r, s := realRig(t)
	u := r.user(s, "~*", "resetchannels", "+@all")
	e := listen(t, u.rdb, "c")
	e.hears(t, "deaf")
	s.Do(t, "ACL", "SETUSER", "u", "&c")
	e.returns(t)
	e.says(t, r.rdb, "c")
}

func TestListenEndsWhileBlackHoled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := redistest.NewProxy(t, s.Addr())
	e := listen(t, p.Client(t), "c")
	e.hears(t, "subscribed")
	p.Blackhole(true)
	e.end(t, time.Second)
	p.Blackhole(false) // the server hears of the end
	redistest.Eventually(t, 5*time.Second, func() bool { return s.Subscribers(t, "c") == 0 }, "no subscriber")
}

// network is what lies between a client in a bubble and its server.
type network struct {
	silent atomic.Bool // swallows what the client writes, so that nothing answers
	down   atomic.Bool
	dials  atomic.Int64
}

// cut ends what there is without a word, and refuses new connections.
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

func TestIdleSubscriptionIsKept(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		e := listen(t, rdb, "c")
		e.hears(t, "subscribed")
		time.Sleep(time.Hour)
		equal(t, "told", len(e.told), 0)
		equal(t, "dials", n.dials.Load(), 1)
		e.says(t, rdb, "c")
	})
}

// A peer that has gone without a word is noticed by two probes.
func TestSilentSubscriptionIsGivenUp(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		e := listen(t, rdb, "c")
		e.hears(t, "subscribed")
		time.Sleep(time.Minute + time.Second) // somewhere between two probes
		start := time.Now()
		n.silent.Store(true)
		e.hears(t, "deaf")
		if d := time.Since(start); d > 2*probe {
			t.Errorf("noticed after %v", d)
		}
		n.silent.Store(false)
		e.returns(t)
		e.says(t, rdb, "c")
	})
}

// Nobody can interrupt go-redis while it makes a connection, so this takes what
// is left of the client's ReadTimeout of 5 s.
func TestListenEndsWhileItConnectsIntoABlackHole(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		n.silent.Store(true)
		e := listen(t, rdb, "c")
		time.Sleep(time.Second)
		e.end(t, 5*time.Second)
	})
}

// An outage costs a try or so a second, and each is five dials of go-redis. Its
// end is noticed as soon.
func TestSubscriptionBacksOff(t *testing.T) {
	t.Parallel()
	bubbled(t, func(t *testing.T, rdb *redis.Client, n *network) {
		e := listen(t, rdb, "c")
		e.hears(t, "subscribed")
		n.cut(true)
		e.hears(t, "deaf")
		before := n.dials.Load()
		time.Sleep(time.Minute)
		if tries := len(e.told); tries < 30 || tries > 90 {
			t.Errorf("%d tries a minute", tries)
		}
		if dials := n.dials.Load() - before; dials > 5*90 {
			t.Errorf("%d dials a minute", dials)
		}
		n.cut(false)
		start := time.Now()
		e.returns(t)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("subscribed again after %v", d)
		}
		// Subscribed, it starts with the short pauses again.
		n.cut(true)
		e.hears(t, "deaf")
		n.cut(false)
		start = time.Now()
		e.returns(t)
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("after a short break subscribed again after %v", d)
		}
	})
}

func TestParse(t *testing.T) {
	for payload, want := range map[string]lease.Handover{
		"m 1 0 2 1 0 t k":                      {Name: mutexAt("k"), N: 1, Base: 2, Weight: 1, Token: "t"},
		"m 1 0 2 1 0 t ":                       {Name: mutexAt(""), N: 1, Base: 2, Weight: 1, Token: "t"},
		"m 1 0 2 1 0 t a b\nc\x00":             {Name: mutexAt("a b\nc\x00"), N: 1, Base: 2, Weight: 1, Token: "t"},
		"r 7 5 2 3 1 t k":                      {Name: lease.Name{Kind: lease.RWMutex, Key: "k"}, N: 7, Order: 5, Base: 2, Weight: 3, Awaited: true, Token: "t"},
		"s 0 0 0 0 1 t k":                      {Name: lease.Name{Kind: lease.Semaphore, Key: "k"}, Awaited: true, Token: "t"},
		"m -1 0 9223372036854775807 1 0 t 1 2": {Name: mutexAt("1 2"), N: -1, Base: 1<<63 - 1, Weight: 1, Token: "t"},
	} {
		if got, ok := parse(payload); !ok || got != want {
			t.Errorf("%q: %+v, %v", payload, got, ok)
		}
	}
	bad := []string{"", " ", "m 1 0 2 1 0 t", "m a 0 2 1 0 t k", "m 1 0 a 1 0 t k", "m 1 0 9223372036854775808 1 0 t k", "m 0x1 0 2 1 0 t k", " 1 0 2 1 0 t k"}
	if i := slices.IndexFunc(bad, func(s string) bool { _, ok := parse(s); return ok }); i >= 0 {
		t.Errorf("%q is taken for a message", bad[i])
	}
}
