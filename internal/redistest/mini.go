package redistest

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Mini starts an in-memory server without a listener. Its TTLs follow the clock, so in a
// testing/synctest bubble keys expire in fake time. Call it inside the bubble, with the bubble's own
// T: the cleanups of that T run inside the bubble.
func Mini(tb testing.TB) *miniredis.Miniredis {
	tb.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	// Dial is the only way to start miniredis without a listener.
	first, err := m.Dial()
	must(err)
	must(first.Close())
	tb.Cleanup(m.Close)
	return m
}

// MiniClient connects to m through memory, so the client can be used in a bubble. It is closed when
// the test ends. After m.Close it cannot connect.
func MiniClient(tb testing.TB, m *miniredis.Miniredis, opts ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := options("127.0.0.1:1") // an address: a name would be looked up outside the bubble
	o.Dialer = func(context.Context, string, string) (net.Conn, error) {
		m.Lock() // m.Server does not lock
		server := m.Server()
		m.Unlock()
		if server == nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{}, Err: syscall.ECONNREFUSED}
		}
		ours, theirs := connPair()
		server.ServeConn(theirs)
		return ours, nil
	}
	o.PoolSize = 1000 // a wait for the pool takes a timer from a sync.Pool: one of another bubble is fatal
	return connect(tb, o, opts)
}

// BubbleClient returns a client of an in-memory server, for a synctest bubble.
func BubbleClient(tb testing.TB) *redis.Client {
	tb.Helper()
	_, all := MiniClients(tb, 1)
	return all[0]
}

// ExampleClient returns a client of an in-memory server in real time. closeAll closes both.
func ExampleClient() (rdb *redis.Client, closeAll func()) {
	m := startMini()
	rdb = redis.NewClient(&redis.Options{Addr: m.Addr()})
	return rdb, func() {
		_ = rdb.Close()
		m.Close()
	}
}

func startMini() *miniredis.Miniredis {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	must(m.Start())
	return m
}

// EachServer runs f as the subtests "miniredis" and "redis", each with an empty server of that kind
// over TCP, in real time. The clients are [Patient]: a copy of a late request could lock after the unlock.
func EachServer(t *testing.T, f func(t *testing.T, rdb *redis.Client)) {
	t.Run("miniredis", func(t *testing.T) {
		m := startMini()
		t.Cleanup(m.Close)
		f(t, connect(t, options(m.Addr()), []func(*redis.Options){Patient}))
	})
	t.Run("redis", func(t *testing.T) { f(t, Start(t).Client(t, Patient)) })
}
