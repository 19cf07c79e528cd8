package redistest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Tenants checks the context values of the scripts that clients send. A tenant's keys contain its
// name.
type Tenants struct {
	mu                 sync.Mutex
	own, none, foreign int
}

type tenant struct{}

// Context returns a context with the values of the tenant.
func (*Tenants) Context(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tenant{}, name)
}

// Check fails the test if a script had the values of another tenant, or if no script had those of
// its own. It returns the number of scripts without values: several callers may share them.
func (h *Tenants) Check(tb testing.TB) (none int) {
	tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.foreign > 0 || h.own == 0 {
		tb.Errorf("%d scripts had their caller's values, %d none, and %d another caller's", h.own, h.none, h.foreign)
	}
	return h.none
}

// CheckAll fails the test unless all scripts had the values of their own tenants.
func (h *Tenants) CheckAll(tb testing.TB) {
	tb.Helper()
	if none := h.Check(tb); none > 0 {
		tb.Errorf("%d scripts had no values", none)
	}
}

// AddToFailing is [Tenants.AddTo] for a client on which every second script fails.
func (h *Tenants) AddToFailing(rdb *redis.Client) {
	var sent atomic.Int64
	h.AddTo(rdb)
	rdb.AddHook(Before(func(_ context.Context, cmds ...redis.Cmder) error {
		if cmds[0].Name() == "evalsha" && sent.Add(1)%2 == 1 {
			return errOutage
		}
		return nil
	}))
}

// AddTo checks the scripts of the client from now on.
func (h *Tenants) AddTo(rdb redis.UniversalClient) {
	rdb.AddHook(BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
		h.mu.Lock()
		defer h.mu.Unlock()
		name, ok := ctx.Value(tenant{}).(string)
		switch {
		case !ok:
			h.none++
		case strings.Contains(KeysOf(cmd)[0].(string), name):
			h.own++
		default:
			h.foreign++
		}
	}))
}
