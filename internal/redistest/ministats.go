package redistest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// MiniStats counts the scripts that clients send to an in-memory server, and the messages.
type MiniStats struct{ scripts, messages atomic.Int64 }

// MiniClients returns n clients of one [Mini], and its counters. The cleanup waits until idle
// subscriptions are closed.
func MiniClients(tb testing.TB, n int) (*MiniStats, []*redis.Client) {
	tb.Helper()
	var s MiniStats
	m := Mini(tb)
	m.Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
		switch cmd {
		case "EVAL", "EVALSHA":
			s.scripts.Add(1)
		case "PUBLISH":
			s.messages.Add(1)
		}
		return false
	})
	var all []*redis.Client
	for range n {
		all = append(all, MiniClient(tb, m))
	}
	tb.Cleanup(func() { time.Sleep(2 * time.Second) })
	return &s, all
}

// Cost calls f and returns the numbers of scripts and messages until a millisecond after its end.
func (s *MiniStats) Cost(f func()) (scripts, messages int64) {
	s.scripts.Store(0)
	s.messages.Store(0)
	f()
	time.Sleep(time.Millisecond)
	return s.scripts.Load(), s.messages.Load()
}

// CheckCost checks the [MiniStats.Cost] of f.
func (s *MiniStats) CheckCost(tb testing.TB, what string, scripts, messages int64, f func()) {
	tb.Helper()
	if gotScripts, gotMessages := s.Cost(f); gotScripts != scripts || gotMessages != messages {
		tb.Errorf("%s costs %d requests and %d messages, want %d and %d", what, gotScripts, gotMessages, scripts, messages)
	}
}
