package redistest

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// proxied starts a server with a proxy. direct bypasses the proxy.
func proxied(t *testing.T) (p *Proxy, direct *redis.Client) {
	m := miniredis.RunT(t)
	return NewProxy(t, m.Addr()), connect(t, options(m.Addr()), nil)
}

func TestProxyForwardsAndDelays(t *testing.T) {
	EachServer(t, func(t *testing.T, direct *redis.Client) {
		p := NewProxy(t, direct.Options().Addr)
		for _, protocol := range []int{2, 3} {
			for _, slice := range []bool{false, true} {
				p.Slice(slice)
				rdb := p.Client(t, Patient, func(o *redis.Options) { o.Protocol = protocol })
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
		expect(t, "INCR", p.Requests("INCR"), int64(200))
		expect(t, "sliced", p.Faults().Sliced > 0, true)

		p.Slice(false)
		rdb := p.Client(t, Patient)
		must(ping(rdb))
		p.SetDelay(20 * time.Millisecond)
		start := time.Now()
		must(ping(rdb))
		if d := time.Since(start); d < 40*time.Millisecond {
			t.Errorf("a round trip took %v", d)
		}
		expect(t, "delayed", p.Faults().Delayed, int64(2))
	})
}

// The server executes held requests when the black hole ends.
func TestProxyHolds(t *testing.T) {
	p, direct := proxied(t)
	rdb := p.Client(t, oneAttempt(Patience))
	must(ping(rdb))
	for _, row := range []struct {
		hold     func(bool)
		executed int64 // during the black hole
	}{{p.BlackholeReplies, 1}, {p.BlackholeRequests, 0}, {p.Blackhole, 0}} {
		must(direct.Del(ctx, "n").Err())
		row.hold(true)
		held := p.Faults().Held
		result := make(chan error, 1)
		go func() { result <- rdb.Incr(ctx, "n").Err() }()
		Eventually(t, 5*time.Second, func() bool { return p.Faults().Held > held && direct.Exists(ctx, "n").Val() == row.executed }, "a frame is held")
		if err := p.Client(t, oneAttempt(30*time.Millisecond)).Incr(ctx, "new").Err(); err == nil {
			t.Error("a new connection got a reply")
		}
		select {
		case err := <-result:
			t.Errorf("a reply through a black hole: %v", err)
		default:
		}
		row.hold(false)
		must(<-result)
		expect(t, "n", direct.Get(ctx, "n").Val(), "1")
	}
}

// Each fault loses one request, or its reply, and nothing before or after it.
func TestProxyLosesOne(t *testing.T) {
	for _, row := range []struct {
		lose     func(*Proxy, string)
		faults   Faults
		executed int64
		wait     time.Duration // for the reply
		err      error
	}{
		{(*Proxy).CutNextRequest, Faults{RequestsCut: 1}, 0, Patience, io.EOF},
		{(*Proxy).CutNextReply, Faults{RepliesCut: 1}, 1, Patience, io.EOF},
		{(*Proxy).LoseNextReply, Faults{RepliesLost: 1}, 1, 100 * time.Millisecond, os.ErrDeadlineExceeded},
	} {
		p, direct := proxied(t)
		rdb, patient := p.Client(t, oneAttempt(row.wait)), p.Client(t, oneAttempt(Patience))
		Eventually(t, Patience, func() bool { return ping(rdb) == nil }, "it is connected")
		row.lose(p, "INCR") // go-redis sends lower case
		must(ping(patient))
		if err := rdb.Incr(ctx, "n").Err(); !errors.Is(err, row.err) {
			t.Errorf("the lost request: %v, want %v", err, row.err)
		}
		Eventually(t, Patience, func() bool { return p.Faults() == row.faults }, "fired once")
		expect(t, "executed", direct.Exists(ctx, "n").Val(), row.executed)
		must(patient.Incr(ctx, "n").Err())
		expect(t, "faults", p.Faults(), row.faults)
	}
	p, direct := proxied(t)
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

func TestProxyFaultsOfSubscriptions(t *testing.T) {
	EachServer(t, func(t *testing.T, direct *redis.Client) {
		for _, protocol := range []int{2, 3} {
			p := NewProxy(t, direct.Options().Addr)
			sub := p.Client(t, func(o *redis.Options) { o.Protocol = protocol }).Subscribe(ctx, "c", "d")
			defer sub.Close()
			receive := func() any {
				t.Helper()
				v, err := sub.ReceiveTimeout(ctx, Patience)
				if err != nil {
					return err
				}
				if m, ok := v.(*redis.Message); ok {
					return m.Payload
				}
				return v
			}
			receive()
			receive()
			publish := func(m string) { must(direct.Publish(ctx, "c", m).Err()) }

			p.DropMessages(2)
			for _, m := range []string{"1", "2", "3"} {
				publish(m)
			}
			expect(t, "after two dropped messages", receive(), "3")
			p.DuplicateMessages(true)
			publish("4")
			expect(t, "first", receive(), "4")
			expect(t, "second", receive(), "4")
			p.DuplicateMessages(false)
			p.DelayMessages(50 * time.Millisecond)
			delayed := int64(0)
			Eventually(t, Patience, func() bool { // a busy machine may take as long for the reply
				delayed++
				publish("5")
				must(sub.Ping(ctx))
				first, second := receive(), receive()
				_, overtaken := first.(*redis.Pong)
				if !overtaken {
					_, ok := second.(*redis.Pong)
					expect(t, "the reply comes", ok, true)
					second = first
				}
				expect(t, "delayed", second, "5")
				return overtaken
			}, "a reply overtakes the message")
			expect(t, "faults", p.Faults(), Faults{MessagesDropped: 2, MessagesDuplicated: 1, MessagesDelayed: delayed})

			p.CutNextReply("subscribe")
			expect(t, "dropped", p.DropSubscribers(), 1)
			for range 2 { // the drop, and the cut of the next attempt
				if v, ok := receive().(error); !ok {
					t.Errorf("received %v", v)
				}
			}
			if v, ok := receive().(*redis.Subscription); !ok { // go-redis has reconnected
				t.Errorf("received %v", v)
			}
			expect(t, "cut", p.Faults().RepliesCut, int64(1))
		}
	})
}

func TestProxyRefusesAndRetargets(t *testing.T) {
	p, one := proxied(t)
	_, two := proxied(t)
	rdb := p.Client(t, oneAttempt(Patience))
	must(one.Set(ctx, "name", "one", 0).Err())
	must(two.Set(ctx, "name", "two", 0).Err())
	expect(t, "first", rdb.Get(ctx, "name").Val(), "one")
	p.Refuse(true)
	if ping(rdb) == nil {
		t.Error("PING succeeds")
	}
	expect(t, "closed", p.Faults().Closed, int64(1))
	p.Refuse(false)
	expect(t, "after Refuse", rdb.Get(ctx, "name").Val(), "one")
	p.Retarget(two.Options().Addr)
	expect(t, "on the old connection", rdb.Get(ctx, "name").Val(), "one")
	p.CloseAll()
	Eventually(t, 5*time.Second, func() bool { return rdb.Get(ctx, "name").Val() == "two" }, "the other server replies")
}
