package lease

import (
	"context"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/result"
)

type term struct{ *Term }

func (t term) leases() []*Lease { return []*Lease{t.Lease()} }

func (t term) Acquire(ctx context.Context, m *Manager, p *Params) error { return t.Campaign(ctx, m, p) }

func (t term) AcquireChan(ctx context.Context, m *Manager, p *Params, sink result.Sink) {
	t.CampaignChan(ctx, m, p, sink)
}

func (t term) Release() error {
	_ = t.Resign() // the lease is released even if the value is not removed
	return nil
}

// TestSweepElection does for a candidate what TestSweepMutex does for a lock.
func TestSweepElection(t *testing.T) {
	p := params(sweepTTL)
	p.Term = true
	of := func(p *sweepProcess) target { return term{NewTerm(p.fakeStore, "value")} }
	sweepAll(t, use{name: "election", least: 12, p: p, rival: p, of: of}.forms())
}
