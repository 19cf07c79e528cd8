package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Misuse checks calls with bad input. They must describe the error and write nothing. If the
// library can detect the error, they must send nothing.
type Misuse struct {
	Silent *redis.Client // must send no request

	tb            testing.TB
	server        *Server
	sent          *atomic.Int64
	skippedSuffix string
	before        string
}

// NewMisuse records the contents of the server, without keys that have the suffix, unless that is "".
func NewMisuse(tb testing.TB, s *Server, skippedSuffix string) *Misuse {
	tb.Helper()
	rdb := s.Client(tb)
	return &Misuse{rdb, tb, s, CountRequests(rdb), skippedSuffix, s.dump(tb, skippedSuffix)}
}

// ErrorContains checks that f returns an error, or panics, with the text.
func (m *Misuse) ErrorContains(what, want string, f func() error) {
	m.tb.Helper()
	if err := Outcome(f); !strings.Contains(fmt.Sprint(err), want) {
		m.tb.Errorf("%s: %v, want %q", what, err, want)
	}
	if n := m.sent.Swap(0); n != 0 {
		m.tb.Errorf("%s: %d requests were sent", what, n)
	}
}

// Refuses is [Misuse.ErrorContains] for an error of this library.
func (m *Misuse) Refuses(what, want string, f func() error) {
	m.tb.Helper()
	err := Outcome(f)
	m.ErrorContains(what, want, func() error { return err })
	m.ErrorContains(what, "baton: ", func() error { return err })
}

// Contexts checks that f refuses a ctx that is done, and a nil ctx.
func (m *Misuse) Contexts(what string, f func(ctx context.Context) error) {
	m.tb.Helper()
	var none context.Context
	ended, cancel := context.WithCancelCause(m.tb.Context())
	cancel(errors.New("why it ended"))
	m.Refuses(what+" of a ctx that is done", "why it ended", func() error { return f(ended) })
	m.ErrorContains(what+" of a nil ctx", "nil", func() error { return f(none) })
}

// Unchanged checks that the contents of the server have not changed.
func (m *Misuse) Unchanged() {
	m.tb.Helper()
	if after := m.server.dump(m.tb, m.skippedSuffix); after != m.before {
		m.tb.Errorf("the server contained\n%s\nand now contains\n%s", m.before, after)
	}
}

// NilClients returns nil clients of several types, by their descriptions.
func NilClients() map[string]redis.UniversalClient {
	return map[string]redis.UniversalClient{"no client": nil, "a nil client": (*redis.Client)(nil), "a nil cluster": (*redis.ClusterClient)(nil)}
}

// Outcome returns the error of f, or an error for its panic.
func Outcome(f func() error) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	return f()
}

// Zero checks the result of a method of the zero T. It returns an error, or the panic of the method
// of a nil *T.
func Zero[T any](want any, method func(x *T) any) error {
	var got any
	_ = Outcome(func() error { got = method(new(T)); return nil }) // after a panic, got is nil
	if got != want {
		return fmt.Errorf("the method of the zero %T returns %v, want %v", *new(T), got, want)
	}
	return Outcome(func() error { method(nil); return nil })
}

// ErrorOf returns err. It returns another error if both v and err are nil, or neither.
func ErrorOf[T any](v *T, err error) error {
	if (v == nil) == (err == nil) {
		return fmt.Errorf("both or neither of %v and %v", v, err)
	}
	return err
}
