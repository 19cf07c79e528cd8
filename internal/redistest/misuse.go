package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Misuse is for calls of whatever cannot be used: they are to say what is wrong, to
// ask Redis for nothing if that can be known here, and to write nothing.
type Misuse struct {
	Unasked *redis.Client // is to be asked for nothing

	tb     testing.TB
	server *Server
	sent   Requests
	spared string
	before string
}

// NewMisuse notes what the server holds now, but for keys that end as is said, if it
// is: see [Server.Dump].
func NewMisuse(tb testing.TB, s *Server, spared string) *Misuse {
	tb.Helper()
	m := &Misuse{Unasked: s.Client(tb), tb: tb, server: s, spared: spared, before: s.Dump(tb, spared)}
	m.Unasked.AddHook(&m.sent)
	return m
}

// ErrorContains checks that f returns, or panics with, something about what is wanted.
func (m *Misuse) ErrorContains(what, want string, f func() error) {
	m.tb.Helper()
	m.check(what, Outcome(f), want)
}

// Refuses is Says for an error, or a panic, in which the library names itself.
func (m *Misuse) Refuses(what, want string, f func() error) {
	m.tb.Helper()
	m.check(what, Outcome(f), want, "baton: ")
}

// Contexts checks that f refuses a ctx that has ended, and one that is nil.
func (m *Misuse) Contexts(what string, f func(ctx context.Context) error) {
	m.tb.Helper()
	var none context.Context
	ended, cancel := context.WithCancelCause(m.tb.Context())
	cancel(errors.New("why it ended"))
	m.Refuses(what+" of a ctx that has ended", "why it ended", func() error { return f(ended) })
	m.ErrorContains(what+" of a nil ctx", "nil", func() error { return f(none) })
}

func (m *Misuse) check(what string, err error, wants ...string) {
	m.tb.Helper()
	for _, want := range wants {
		if !strings.Contains(fmt.Sprint(err), want) {
			m.tb.Errorf("%s: %v, and not %q", what, err, want)
		}
	}
	if n := m.sent.Swap(0); n != 0 {
		m.tb.Errorf("%s: %d requests were sent", what, n)
	}
}

// Unchanged checks that the server holds what it did.
func (m *Misuse) Unchanged() {
	m.tb.Helper()
	if after := m.server.Dump(m.tb, m.spared); after != m.before {
		m.tb.Errorf("it was\n%s\nand is\n%s", m.before, after)
	}
}

// NilClients are the clients that are none, by what they are.
func NilClients() map[string]redis.UniversalClient {
	return map[string]redis.UniversalClient{"no client": nil, "a nil client": (*redis.Client)(nil), "a nil cluster": (*redis.ClusterClient)(nil)}
}
