package redistest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Tenants is a hook that notes whose context values the scripts have that a client sends.
// A tenant's keys contain its name.
type Tenants struct {
	mu                 sync.Mutex
	own, none, strange int
}

type tenant struct{}

// Context returns a context with the values of the tenant.
func (*Tenants) Context(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tenant{}, name)
}

// Check fails the test if a script had the values of another tenant, or none had those
// of its own. It returns how many had none, as those may that several callers share.
func (h *Tenants) Check(tb testing.TB) (none int) {
	tb.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.strange > 0 || h.own == 0 {
		tb.Errorf("%d scripts had their caller's values, %d none, and %d a stranger's", h.own, h.none, h.strange)
	}
	return h.none
}

// CheckAll fails the test if a script had no values, or those of another tenant.
func (h *Tenants) CheckAll(tb testing.TB) {
	tb.Helper()
	if none := h.Check(tb); none > 0 {
		tb.Errorf("%d scripts had no values", none)
	}
}

// Alone adds the hook to the client of one caller, and has every second script fail.
func (h *Tenants) Alone(rdb *redis.Client) {
	var sent atomic.Int64
	rdb.AddHook(h)
	rdb.AddHook(Before(func(_ context.Context, cmds ...redis.Cmder) error {
		if cmds[0].Name() == "evalsha" && sent.Add(1)%2 == 1 {
			return errOutage
		}
		return nil
	}))
}

func (h *Tenants) hook() Hook {
	return BeforeScripts(func(ctx context.Context, cmd redis.Cmder) {
		h.mu.Lock()
		defer h.mu.Unlock()
		name, ok := ctx.Value(tenant{}).(string)
		switch {
		case !ok:
			h.none++
		case strings.Contains(KeysOf(cmd)[0].(string), name):
			h.own++
		default:
			h.strange++
		}
	})
}

// DialHook lets the client connect.
func (h *Tenants) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook notes a script.
func (h *Tenants) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return h.hook().ProcessHook(next)
}

// ProcessPipelineHook notes each script of a pipeline.
func (h *Tenants) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return h.hook().ProcessPipelineHook(next)
}
