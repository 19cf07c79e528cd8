package clienttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/internal/retry"
	"github.com/seed-3d5fec5c/baton/mutex"
	"github.com/seed-3d5fec5c/baton/waitgroup"
)

// A closed cluster client of sentinels still listens to them. This library does not use the channels
// of go-redis.
func TestMain(m *testing.M) {
	const goredis = "github.com/redis/go-redis/v9."
	redistest.Main(m, nil, goleak.IgnoreAnyFunction(goredis+"(*sentinelFailover).listen"),
		goleak.IgnoreAnyFunction(goredis+"(*channel).initMsgChan.func1"), goleak.IgnoreAnyFunction(goredis+"(*channel).initHealthCheck.func1"))
}

// A set is a kind of client.
type set struct {
	make    func(t *testing.T) redis.UniversalClient
	without string // missing feature: polls, or the expected error of each first operation
}

// polls is for a set without messages: polls find hand-overs.
const polls = "messages"

// TestClients uses every primitive through each set of client options.
func TestClients(t *testing.T) {
	t.Parallel()
	s := startServers(t)
	// Each of these functions returns a set with one difference from the defaults.
	single := func(change func(o *redis.Options)) set {
		return set{make: func(t *testing.T) redis.UniversalClient { return s.client(t, change) }}
	}
	user := func(name, password string) set {
		return single(func(o *redis.Options) { o.Username, o.Password = name, password })
	}
	hooked := func(hook redis.Hook) set {
		return set{make: func(t *testing.T) redis.UniversalClient {
			rdb := s.client(t, nil)
			rdb.AddHook(hook)
			return rdb
		}}
	}
	wrapped := func(wrap func(rdb *redis.Client) redis.UniversalClient) set {
		return set{make: func(t *testing.T) redis.UniversalClient { return wrap(s.client(t, nil)) }}
	}
	universal := func(o redis.UniversalOptions) set {
		return set{make: func(t *testing.T) redis.UniversalClient { return closed(t, redis.NewUniversalClient(&o)) }}
	}
	cluster := func(change func(o *redis.ClusterOptions)) set {
		return set{make: func(t *testing.T) redis.UniversalClient {
			o := &redis.ClusterOptions{Addrs: s.nodes}
			change(o)
			return closed(t, redis.NewClusterClient(o))
		}}
	}
	sentinels := func(change func(o *redis.FailoverOptions)) (set, set) {
		o := func() *redis.FailoverOptions {
			o := &redis.FailoverOptions{MasterName: "master", SentinelAddrs: s.sentinels}
			change(o)
			return o
		}
		return set{make: func(t *testing.T) redis.UniversalClient { return closed(t, redis.NewFailoverClient(o())) }},
			set{make: func(t *testing.T) redis.UniversalClient { return closed(t, redis.NewFailoverClusterClient(o())) }}
	}
	failover, failoverCluster := sentinels(func(*redis.FailoverOptions) {})
	replicaOnly, _ := sentinels(func(o *redis.FailoverOptions) { o.ReplicaOnly = true })
	_, byLatency := sentinels(func(o *redis.FailoverOptions) { o.RouteByLatency = true })
	_, randomly := sentinels(func(o *redis.FailoverOptions) { o.RouteRandomly = true })
	ring := func(t *testing.T) redis.UniversalClient {
		return closed(t, redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": s.addr, "two": s.other}}))
	}
	but := func(s set, without string) set { s.without = without; return s }

	for name, set := range map[string]set{
		"defaults":                single(nil),
		"a Unix socket":           single(func(o *redis.Options) { o.Network, o.Addr = "unix", s.socket }),
		"another database":        single(func(o *redis.Options) { o.DB = 3 }),
		"RESP2":                   single(func(o *redis.Options) { o.Protocol = 2 }),
		"TLS":                     single(func(o *redis.Options) { o.Addr, o.TLSConfig = s.secure, s.tls }),
		"a user":                  user("user", "word"),
		"a user without channels": but(user("nochannels", "word"), polls),
		"a user without scripts":  but(user("noscripts", "word"), "NOPERM"),
		"a wrong password":        but(user("user", "wrong"), "WRONGPASS"),
		"credentials": single(func(o *redis.Options) {
			o.CredentialsProvider = func() (string, string) { return "user", "word" }
		}),
		"a missing database":                 but(single(func(o *redis.Options) { o.DB = 99 }), "out of range"),
		"a pool of 1":                        single(func(o *redis.Options) { o.PoolSize = 1 }),
		"two pools of 1":                     single(func(o *redis.Options) { o.PoolSize, o.PipelinePoolSize = 1, 1 }),
		"no pool for pipelines":              single(func(o *redis.Options) { o.PipelinePoolSize = -1 }),
		"two connections in total":           single(func(o *redis.Options) { o.PoolSize, o.MaxActiveConns = 2, 2 }),
		"PoolFIFO":                           single(func(o *redis.Options) { o.PoolFIFO = true }),
		"connections of 0.3 s":               single(func(o *redis.Options) { o.MinIdleConns, o.ConnMaxLifetime = 2, 300*time.Millisecond }),
		"ReadTimeout -1":                     single(func(o *redis.Options) { o.ReadTimeout = -1 }),
		"ReadTimeout -2":                     single(func(o *redis.Options) { o.ReadTimeout = -2 }),
		"WriteTimeout -1":                    single(func(o *redis.Options) { o.WriteTimeout = -1 }),
		"WriteTimeout -2":                    single(func(o *redis.Options) { o.WriteTimeout = -2 }),
		"no timeouts, a pool of 1":           single(func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout, o.PoolSize = -2, -2, 1 }),
		"MaxRetries -1":                      single(func(o *redis.Options) { o.MaxRetries = -1 }),
		"ContextTimeoutEnabled":              single(func(o *redis.Options) { o.ContextTimeoutEnabled = true }),
		"ContextTimeoutEnabled, a pool of 1": single(func(o *redis.Options) { o.ContextTimeoutEnabled, o.PoolSize = true, 1 }),
		"DisableIdentity":                    single(func(o *redis.Options) { o.DisableIdentity = true }),
		"a client name":                      single(func(o *redis.Options) { o.ClientName = "name" }),
		"no maintenance notifications": single(func(o *redis.Options) {
			o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		}),
		"a dialer": single(func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		}),

		"a hook":                             hooked(redistest.Hook{}),
		"a hook that fails a command once":   hooked(stopping(true, false, false, errHook)),
		"a hook that fails a pipeline once":  hooked(stopping(false, true, false, errHook)),
		"a hook that fails to connect once":  hooked(stopping(false, false, true, errHook)),
		"a hook that swallows commands once": hooked(stopping(true, true, false, nil)),
		"a hook that puts a prefix":          hooked(redistest.PrefixKeys("tenant:")),
		"a proxy that shards": {make: func(t *testing.T) redis.UniversalClient {
			rdb := s.client(t, nil)
			rdb.AddHook(redistest.Sharding(s.client(t, nil), s.client(t, func(o *redis.Options) { o.Addr = s.other })))
			return rdb
		}, without: polls},

		"embedded":            wrapped(func(rdb *redis.Client) redis.UniversalClient { return &struct{ *redis.Client }{rdb} }),
		"embedded by a value": wrapped(func(rdb *redis.Client) redis.UniversalClient { return tagged{rdb, []string{"tag"}} }),
		"with a method":       wrapped(func(rdb *redis.Client) redis.UniversalClient { return &processing{rdb} }),
		"a value with a method": wrapped(func(rdb *redis.Client) redis.UniversalClient {
			return pipelining{tagged{rdb, []string{"tag"}}}
		}),
		"AutoPipeline":      wrapped(func(rdb *redis.Client) redis.UniversalClient { return must(rdb.AutoPipeline()) }),
		"AsyncAutoPipeline": wrapped(func(rdb *redis.Client) redis.UniversalClient { return must(rdb.AsyncAutoPipeline()) }),

		"a universal client":              universal(redis.UniversalOptions{Addrs: []string{s.addr}}),
		"a universal client of a cluster": universal(redis.UniversalOptions{Addrs: s.nodes}),
		"a universal client of sentinels": universal(redis.UniversalOptions{Addrs: s.sentinels, MasterName: "master"}),

		"a cluster":                        cluster(func(*redis.ClusterOptions) {}),
		"a cluster, ReadOnly":              cluster(func(o *redis.ClusterOptions) { o.ReadOnly = true }),
		"a cluster, RouteByLatency":        cluster(func(o *redis.ClusterOptions) { o.RouteByLatency = true }),
		"a cluster, RouteRandomly":         cluster(func(o *redis.ClusterOptions) { o.RouteRandomly = true }),
		"a cluster, pools of 1":            cluster(func(o *redis.ClusterOptions) { o.PoolSize = 1 }),
		"a cluster, ContextTimeoutEnabled": cluster(func(o *redis.ClusterOptions) { o.ContextTimeoutEnabled = true }),
		"a cluster client of one server":   but(cluster(func(o *redis.ClusterOptions) { o.Addrs = []string{s.addr} }), "cluster support disabled"),
		"a node of a cluster":              but(single(func(o *redis.Options) { o.Addr = s.nodeReplica }), "redis.NewClusterClient"),

		"sentinels":                 failover,
		"sentinels, ReplicaOnly":    but(replicaOnly, "READONLY"),
		"sentinels, as a cluster":   failoverCluster,
		"sentinels, RouteByLatency": byLatency,
		"sentinels, RouteRandomly":  randomly,
		"a replica":                 but(single(func(o *redis.Options) { o.Addr = s.replica }), "READONLY"),
		"a ring":                    {make: ring, without: "Ring"},
		"a wrapped ring":            {make: func(t *testing.T) redis.UniversalClient { return &processing{ring(t)} }, without: "Ring"},
		"no client":                 {make: func(*testing.T) redis.UniversalClient { return nil }, without: "nil"},
		"a closed client": {make: func(t *testing.T) redis.UniversalClient {
			rdb := s.client(t, nil)
			_ = rdb.Close()
			return rdb
		}, without: "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			if redistest.Race && strings.HasSuffix(name, "RouteByLatency") {
				t.Skip("go-redis races with itself: it measures a node's latency while it sets up the node's client")
			}
			t.Parallel()
			a, b := set.make(t), set.make(t)
			sent := &requests{}
			if refused := set.without != "" && set.without != polls; !refused {
				b.AddHook(sent.hook()) // before first use
			}
			eachPrimitive(t, func(t *testing.T, name string) {
				key := strings.ReplaceAll(t.Name(), "/", ":")
				switch set.without {
				case "", polls:
					works(t, primitives[name](a, key, ttl), primitives[name](b, key, ttl), sent.of(key), set.without == "")
				default:
					isRefused(t, primitives[name](a, key, ttl), set.without)
				}
			})
		})
	}
}

// eachPrimitive runs a subtest for each primitive, all at once: they mostly wait.
func eachPrimitive(t *testing.T, test func(t *testing.T, name string)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for name := range primitives {
		wg.Go(func() { t.Run(name, func(t *testing.T) { test(t, name) }) })
	}
}

// isRefused checks that the first operation fails with the error: at once, unless it is transient.
func isRefused(t *testing.T, p primitive, why string) {
	for wait := 500 * time.Millisecond; ; wait *= 4 { // a busy machine may have no reply by then
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		_, err := p.hold(ctx)
		cancel()
		switch transient := why == "READONLY"; {
		case err != nil && strings.Contains(err.Error(), why) && errors.Is(err, context.DeadlineExceeded) == transient:
			return
		case err == nil || wait > redistest.Patience || !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("the error is %v, want %q", err, why)
		}
	}
}

// ttl is short because each use waits for a renewal.
const ttl = 1500 * time.Millisecond

// works uses a primitive, until no operation is late, and a message ends the wait if messages is true. On a
// busy machine it may take several uses.
func works(t *testing.T, p, q primitive, sent func() int, messages bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for attempt := 1; ; attempt++ {
		byMessage, err := use(ctx, t, p, q, sent, messages)
		switch {
		case err == nil && (byMessage || !messages):
			return
		case err != nil && !isLate(err), ctx.Err() != nil, attempt == 100:
			t.Fatalf("attempt %d, by message %t: %v", attempt, byMessage, err)
		}
	}
}

// isLate reports whether err may be due to a busy machine: a hold, or its release, took longer than the TTL.
func isLate(err error) bool {
	return slices.ContainsFunc([]error{mutex.ErrLost, waitgroup.ErrLost, retry.ErrNoAnswer, context.DeadlineExceeded}, func(late error) bool {
		return errors.Is(err, late)
	})
}

// use holds a primitive through p, tries it and waits for it through q, and releases it. sent returns
// the number of requests of q. It reports whether a message has ended a wait.
func use(ctx context.Context, t *testing.T, p, q primitive, sent func() int, messages bool) (byMessage bool, err error) {
	h, err := p.hold(ctx)
	if err != nil || q.wait == nil {
		return true, err
	}
	if q.try != nil {
		x, err := try(ctx, q)
		if err == nil {
			err = errors.Join(errors.New("succeeds"), x.release())
		}
		if !taken(err) {
			return false, fmt.Errorf("a try of what is held: %w", errors.Join(err, h.release()))
		}
	}
	before := sent()
	waited := startWait(ctx, q)
	over := func() bool { return h.err() != nil || len(waited) > 0 }
	redistest.Eventually(t, redistest.Patience, func() bool {
		if over() || p.waiting == nil {
			return over() || !messages || sent() > before
		}
		n, err := p.waiting(ctx)
		return err == nil && n == 1
	}, "one process waits")
	redistest.Eventually(t, redistest.Patience, func() bool { return over() || p.events.Renewals() > 0 }, "a renewal")
	if h.err() == nil && len(waited) > 0 {
		return false, fmt.Errorf("a wait for what is held ends: %w", errors.Join(<-waited, h.release()))
	}
	before = sent()
	if err := errors.Join(h.release(), <-waited); err != nil {
		return false, fmt.Errorf("hold and wait: %w", err)
	}
	byMessage = q.notified() || p.waiting == nil && sent() == before // a concurrent request may end the wait first
	if p.try != nil {
		h, err := try(ctx, p)
		if err != nil {
			return false, fmt.Errorf("a try after the release: %w", err)
		}
		return byMessage, h.release()
	}
	return byMessage, nil
}

// try repeats a try that failed because of a fault of the client.
func try(ctx context.Context, p primitive) (h held, err error) {
	h, err = p.try(ctx)
	for range faults {
		if err != nil && !taken(err) {
			h, err = p.try(ctx)
		}
	}
	return h, err
}

// startWait starts a wait, followed by a release.
func startWait(ctx context.Context, p primitive) <-chan error {
	waited := make(chan error, 1)
	go func() {
		h, err := p.wait(ctx)
		if err == nil {
			err = h.release()
		}
		waited <- err
	}()
	return waited
}
