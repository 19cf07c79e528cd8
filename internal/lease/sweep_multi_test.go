package lease

import (
	"context"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

type severalKeys struct{ MultiLease }

var sweepKeys = []string{"a", "b", "c"}

func (l *severalKeys) leases() []*Lease { return l.MultiLease.leases }

func (l *severalKeys) Acquire(ctx context.Context, m *Manager, p *Params) error {
	return l.MultiLease.Acquire(ctx, m, *p, sweepKeys)
}

func (l *severalKeys) AcquireChan(ctx context.Context, m *Manager, p *Params, sink result.Sink) {
	l.MultiLease.AcquireChan(ctx, m, *p, sweepKeys, sink)
}

// TestSweepMultiLease does for several keys what TestSweepMutex does for one. Either all keys are
// held or none is.
func TestSweepMultiLease(t *testing.T) {
	held := func(key string) func(w *sweep) {
		return func(w *sweep) {
			p := params(sweepTTL)
			p.Key = key
			w.releaseAfter(50*time.Millisecond, 0, w.acquire(w.process("B"), p))
		}
	}
	try := []error{ErrLocked, errNetwork, retry.ErrNoAnswer}
	var all []scenario
	for _, u := range []use{
		{name: "multi/free", least: 9},
		{name: "multi/held", least: 32, before: held("b")},
		{name: "multi/try", least: 9, may: try},
		{name: "multi/try held", least: 15, may: try, before: held("c")},
	} {
		u.p, u.rival = params(sweepTTL), params(sweepTTL)
		u.p.Try = u.may != nil
		u.of = func(*sweepProcess) target { return new(severalKeys) }
		all = append(all, u.forms()...)
	}
	sweepAll(t, all)
}
