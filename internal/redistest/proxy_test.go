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

// A delay that has no effect would let tests of latency pass.
func TestProxyDelays(t *testing.T) {
	p, _ := proxied(t)
	rdb := p.Client(t, Patient)
	must(ping(rdb))
	p.SetDelay(20 * time.Millisecond)
	start := time.Now()
	must(ping(rdb))
	if d := time.Since(start); d < 40*time.Millisecond {
		t.Errorf("a round trip took %v", d)
	}
	expect(t, "delayed", p.Faults().Delayed, int64(2))
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
			start := time.Now()
			publish("5")
			expect(t, "delayed", receive(), "5")
			if d := time.Since(start); d < 50*time.Millisecond {
				t.Errorf("the message took %v", d)
			}
			expect(t, "faults", p.Faults(), Faults{MessagesDropped: 2, MessagesDuplicated: 1, MessagesDelayed: 1})

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
