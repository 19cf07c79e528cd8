package mutex_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// A commandHook runs before each command, also of a pipeline.
type commandHook func(ctx context.Context, cmd redis.Cmder)

func (h commandHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h commandHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h(ctx, cmd)
		return next(ctx, cmd)
	}
}

func (h commandHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h(ctx, cmd)
		}
		return next(ctx, cmds)
	}
}

func isScript(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" || cmd.Name() == "eval" }

// TestPanicOfAHookReachesItsCaller: the library's own state stays sound, so that
// the lock can be had again by the same process.
func TestPanicOfAHookReachesItsCaller(t *testing.T) {
	s := redistest.Start(t)
	var armed atomic.Bool
	rdb := s.Client(t)
	rdb.AddHook(commandHook(func(_ context.Context, cmd redis.Cmder) {
		if isScript(cmd) && armed.CompareAndSwap(true, false) {
			panic("in a hook")
		}
	}))
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if v := recover(); v != "in a hook" {
				t.Errorf("%s: recovered %v", what, v)
			}
		}()
		armed.Store(true)
		f()
	}
	ended, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"background": context.Background(), "with cancel": ended} {
		for what, lock := range map[string]func(*mutex.Mutex, context.Context) (*mutex.Lease, error){
			"LockContext": (*mutex.Mutex).LockContext, "TryLockContext": (*mutex.Mutex).TryLockContext,
		} {
			m := mutex.New(rdb, what+" "+name)
			panics(what, func() { _, _ = lock(m, ctx) })
			l, err := m.LockContext(ctx)
			if err != nil {
				t.Fatal(err)
			}
			panics("Unlock after "+what, func() { _ = l.Unlock() })
			if l, err = m.LockContext(ctx); err != nil { // released meanwhile, on another goroutine
				t.Fatal(err)
			}
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		}
	}
	r := <-func() <-chan mutex.Result { armed.Store(true); return mutex.New(rdb, "channel").LockChan(t.Context()) }()
	if r.Err == nil {
		t.Error("a channel yields a lease although the client panicked")
	}
}

type tenant struct{}

// TestRequestCarriesTheValuesOfItsCallersContext: its own or none, and never a stranger's.
func TestRequestCarriesTheValuesOfItsCallersContext(t *testing.T) {
	s := redistest.Start(t)
	var mu sync.Mutex
	own, none, strange := 0, 0, 0
	rdb := s.Client(t)
	rdb.AddHook(commandHook(func(ctx context.Context, cmd redis.Cmder) {
		if !isScript(cmd) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch v := ctx.Value(tenant{}); v {
		case nil:
			none++
		case cmd.Args()[3]: // tenants lock the key of their own name
			own++
		default:
			strange++
		}
	}))
	const tenants, times = 16, 20
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() {
			name := string(rune('a' + i))
			m := mutex.New(rdb, name)
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), tenant{}, name))
			defer cancel()
			for range times {
				l, err := m.LockContext(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if strange > 0 || own == 0 {
		t.Errorf("%d commands had their caller's values, %d none, and %d a stranger's", own, none, strange)
	}
	before := none
	m := mutex.New(rdb, "alone")
	l, err := m.LockContext(context.WithValue(t.Context(), tenant{}, "alone"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
	if none != before {
		t.Errorf("%d commands of a caller that is alone had no values", none-before)
	}
}
