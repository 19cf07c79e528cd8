package redistest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

// behind starts a server and a proxy before it; direct bypasses the proxy.
func behind(t *testing.T) (p *Proxy, direct *redis.Client) {
	m := miniredis.RunT(t)
	return NewProxy(t, m.Addr()), connect(t, options(m.Addr()), nil)
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestProxyPasses(t *testing.T) {
	EachServer(t, func(t *testing.T, direct *redis.Client) {
		p := NewProxy(t, direct.Options().Addr)
		for _, protocol := range []int{2, 3} {
			for _, slice := range []bool{false, true} {
				p.Slice(slice)
				rdb := p.Client(t, func(o *redis.Options) { o.Protocol = protocol })
				cmds, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
					for range 50 {
						pipe.Incr(ctx, "n")
						pipe.HSet(ctx, "h", "f", "v")
						pipe.HGetAll(ctx, "h")
					}
					return nil
				})
				if err != nil || cmds[2].(*redis.MapStringStringCmd).Val()["f"] != "v" {
					t.Fatal(err, cmds[2])
				}
			}
		}
		expect(t, "n", direct.Get(ctx, "n").Val(), "200")
		expect(t, "INCR seen", p.Requests("INCR"), int64(200))
		if f := p.Faults(); f.Sliced == 0 || f.Sliced != f.Total() {
			t.Errorf("%+v", f)
		}
	})
}

func TestProxyDelay(t *testing.T) {
	p, _ := behind(t)
	rdb := p.Client(t)
	must(ping(rdb))
	p.SetDelay(20 * time.Millisecond)
	start := time.Now()
	must(ping(rdb))
	if d := time.Since(start); d < 40*time.Millisecond {
		t.Errorf("a round trip took %v", d)
	}
	p.SetDelay(0)
	expect(t, "delayed", p.Faults(), Faults{Delayed: 2})
}

// Latency must not become a limit of throughput.
func TestProxyDelayOverlaps(t *testing.T) {
	p, _ := behind(t)
	rdb := p.Client(t)
	must(ping(rdb))
	p.SetDelay(10 * time.Millisecond)
	start := time.Now()
	_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for range 200 {
			pipe.Incr(ctx, "n")
		}
		return nil
	})
	if d := time.Since(start); err != nil || d > time.Second {
		t.Errorf("%v after %v", err, d)
	}
}

func TestProxyBlackhole(t *testing.T) {
	p, direct := behind(t)
	rdb := p.Client(t, within(30*time.Millisecond))
	must(ping(rdb))
	p.Blackhole(true)
	if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("existing connection: %v", err)
	}
	if err := rdb.Incr(ctx, "new").Err(); err == nil {
		t.Error("a new connection was served")
	}
	expect(t, "requests that arrived", direct.Exists(ctx, "n", "new").Val(), int64(0))
	if p.Faults().Held < 2 {
		t.Errorf("%+v", p.Faults())
	}
	p.Blackhole(false)
	Eventually(t, 5*time.Second, func() bool { return direct.Get(ctx, "n").Val() == "1" }, "the held request arrives")
	must(ping(rdb))
}

func TestProxyBlackholeKeepsReplies(t *testing.T) {
	p, direct := behind(t)
	rdb := p.Client(t, once)
	must(ping(rdb))
	for _, hold := range []func(bool){p.BlackholeReplies, p.BlackholeRequests, p.Blackhole} {
		hold(true)
		held := p.Faults().Held
		result := make(chan error, 1)
		go func() { result <- rdb.Incr(ctx, "n").Err() }()
		Eventually(t, 5*time.Second, func() bool { return p.Faults().Held > held }, "a frame is held")
		select {
		case err := <-result:
			t.Errorf("answered through a black hole: %v", err)
		default:
		}
		hold(false)
		must(<-result)
	}
	expect(t, "n", direct.Get(ctx, "n").Val(), "3")
}

func TestProxyCutNextReply(t *testing.T) {
	p, direct := behind(t)
	rdb := p.Client(t, once)
	must(ping(rdb))
	p.CutNextReply("INCR") // go-redis sends lower case
	must(ping(rdb))
	if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, io.EOF) {
		t.Errorf("the cut request: %v", err)
	}
	expect(t, "n", direct.Get(ctx, "n").Val(), "1")
	expect(t, "fired", p.Faults(), Faults{RepliesCut: 1})
	must(rdb.Incr(ctx, "n").Err())
}

// The replies before the one that is cut belong to other requests.
func TestProxyCutWithinPipeline(t *testing.T) {
	p, direct := behind(t)
	p.CutNextReply("second")
	conn, err := net.Dial("tcp", p.Addr())
	must(err)
	defer conn.Close()
	_, err = conn.Write(slices.Concat(array("INCR", "first"), array("INCR", "second"), array("INCR", "third")))
	must(err)
	if got, err := io.ReadAll(conn); string(got) != ":1\r\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	expect(t, "executed", direct.Exists(ctx, "first", "second").Val(), int64(2))
}

func TestProxyLoseNextReply(t *testing.T) {
	p, direct := behind(t)
	rdb := p.Client(t, within(30*time.Millisecond))
	must(ping(rdb))
	p.LoseNextReply("incr")
	if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the lost reply: %v", err)
	}
	expect(t, "n", direct.Get(ctx, "n").Val(), "1")
	expect(t, "fired", p.Faults(), Faults{RepliesLost: 1})
	must(rdb.Incr(ctx, "n").Err())
}

func TestProxyCutNextRequest(t *testing.T) {
	p, direct := behind(t)
	rdb := p.Client(t, once)
	must(ping(rdb))
	p.CutNextRequest("incr")
	if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, io.EOF) {
		t.Errorf("the cut request: %v", err)
	}
	expect(t, "n exists", direct.Exists(ctx, "n").Val(), int64(0))
	expect(t, "fired", p.Faults(), Faults{RequestsCut: 1})
	must(rdb.Incr(ctx, "n").Err())
}

func TestProxyMessages(t *testing.T) {
	EachServer(t, func(t *testing.T, direct *redis.Client) {
		for _, protocol := range []int{2, 3} {
			p := NewProxy(t, direct.Options().Addr)
			sub := p.Client(t, func(o *redis.Options) { o.Protocol = protocol }).Subscribe(ctx, "c", "d")
			defer sub.Close()
			for range 2 {
				if _, err := sub.ReceiveTimeout(ctx, 5*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			receive := func(want string) {
				t.Helper()
				v, err := sub.ReceiveTimeout(ctx, 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if m, ok := v.(*redis.Message); !ok || m.Payload != want {
					t.Errorf("received %v, want %s", v, want)
				}
			}
			publish := func(m string) { must(direct.Publish(ctx, "c", m).Err()) }

			p.DropMessages(2)
			publish("1")
			publish("2")
			publish("3")
			receive("3")

			p.DuplicateMessages(true)
			publish("4")
			receive("4")
			receive("4")
			p.DuplicateMessages(false)

			p.DelayMessages(50 * time.Millisecond)
			start := time.Now()
			publish("5")
			must(sub.Ping(ctx)) // is answered before the message
			v, err := sub.ReceiveTimeout(ctx, 5*time.Second)
			if _, ok := v.(*redis.Pong); !ok {
				t.Errorf("received %v, %v", v, err)
			}
			receive("5")
			if d := time.Since(start); d < 50*time.Millisecond {
				t.Errorf("the message took %v", d)
			}
			p.DelayMessages(0)
			expect(t, "fired", p.Faults(), Faults{MessagesDropped: 2, MessagesDuplicated: 1, MessagesDelayed: 1})
		}
	})
}

func TestProxySubscriptions(t *testing.T) {
	EachServer(t, func(t *testing.T, direct *redis.Client) {
		p := NewProxy(t, direct.Options().Addr)
		rdb := p.Client(t)
		must(ping(rdb))
		sub := rdb.Subscribe(ctx, "a", "b")
		defer sub.Close()
		receive := func() (any, error) { return sub.ReceiveTimeout(ctx, 5*time.Second) }
		for range 2 {
			if _, err := receive(); err != nil {
				t.Fatal(err)
			}
		}
		// Requests are matched after several acknowledgements per request, too.
		must(sub.Unsubscribe(ctx))
		must(sub.Subscribe(ctx, "c"))
		for range 3 {
			if _, err := receive(); err != nil {
				t.Fatal(err)
			}
		}
		p.CutNextReply("ping")
		must(sub.Ping(ctx))
		if v, err := receive(); err == nil {
			t.Errorf("received %v", v)
		}
		expect(t, "fired", p.Faults(), Faults{RepliesCut: 1})

		// go-redis has connected anew and subscribes again.
		if v, err := receive(); err != nil {
			t.Fatal(v, err)
		}
		p.CutNextReply("subscribe")
		expect(t, "dropped", p.DropSubscribers(), 1)
		for range 2 { // the drop, and the cut of the next attempt
			if v, err := receive(); err == nil {
				t.Errorf("received %v", v)
			}
		}
		if v, err := receive(); err != nil {
			t.Fatal(v, err)
		}
		expect(t, "fired", p.Faults(), Faults{RepliesCut: 2, SubscribersDropped: 1})
		must(ping(rdb)) // which was never harmed
	})
}

func TestProxyRefuse(t *testing.T) {
	p, _ := behind(t)
	rdb := p.Client(t, once)
	must(ping(rdb))
	p.Refuse(true)
	for range 3 {
		if ping(rdb) == nil {
			t.Error("served")
		}
	}
	if f := p.Faults(); f.Closed != 1 || f.Refused == 0 {
		t.Errorf("%+v", f)
	}
	p.Refuse(false)
	must(ping(rdb))
	expect(t, "closed", p.CloseAll(), 1)
	Eventually(t, 5*time.Second, func() bool { return ping(rdb) == nil }, "it connects anew")
}

func TestProxyRetarget(t *testing.T) {
	p, one := behind(t)
	_, two := behind(t)
	rdb := p.Client(t)
	must(one.Set(ctx, "name", "one", 0).Err())
	must(two.Set(ctx, "name", "two", 0).Err())
	expect(t, "first", rdb.Get(ctx, "name").Val(), "one")
	p.Retarget(two.Options().Addr)
	expect(t, "connected", rdb.Get(ctx, "name").Val(), "one")
	p.CloseAll()
	expect(t, "anew", rdb.Get(ctx, "name").Val(), "two")
}

// All switches while there is traffic: for the race detector and for goleak.
func TestProxyUnderLoad(t *testing.T) {
	p, _ := behind(t)
	rdb := p.Client(t, within(20*time.Millisecond))
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = rdb.Incr(ctx, "n").Err() // any outcome will do
				}
			}
		})
	}
	for i := range 60 {
		on := i%2 == 0
		p.Slice(on)
		p.Blackhole(on)
		p.SetDelay(time.Duration(i%3) * time.Millisecond)
		p.CutNextReply("incr")
		p.LoseNextReply("incr")
		p.CutNextRequest("incr")
		p.DropMessages(i)
		p.DropSubscribers()
		p.Refuse(i%10 == 0)
		seen := p.Requests("incr")
		if !on && i%10 != 0 {
			Eventually(t, 5*time.Second, func() bool { return p.Requests("incr") > seen }, "traffic")
		}
	}
	p.Blackhole(true) // left on: the cleanup has to cope
	close(stop)
	load.Wait()
	if f := p.Faults(); f.RepliesCut == 0 || f.RepliesLost == 0 || f.RequestsCut == 0 {
		t.Errorf("%+v", f)
	}
}
