package lease

import (
	"context"
	"testing"

	"github.com/seed-3d5fec5c/baton/internal/result"
	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSweepElection campaigns by a call and by a channel, alone and with another candidate behind.
func TestSweepElection(t *testing.T) {
	p := params(sweepTTL)
	p.Term = true
	var all []scenario
	for name, campaign := range map[string]func(ctx context.Context, w *sweep, t *Term) error{
		"call": func(ctx context.Context, w *sweep, t *Term) error { return t.Campaign(ctx, w.us.Manager, &p) },
		"channel": func(ctx context.Context, w *sweep, t *Term) error {
			box := result.NewChan(result.ErrorOnly{})
			t.CampaignChan(ctx, w.us.Manager, &p, box)
			return <-box.C()
		},
	} {
		for _, rival := range []bool{false, true} {
			if rival {
				name += "/rival"
			}
			all = append(all, scenario{"election/" + name, 12, func(w *sweep) {
				w.arm()
				if rival {
					w.rival(p)
				}
				t := NewTerm(w.us.fakeStore, "value")
				if err := w.await(retry.CancelTimeout, nil, func(ctx context.Context) error { return campaign(ctx, w, t) }); err == nil {
					w.enter(w.us, t.Lease())
					w.keep(t.Lease(), sweepTTL/2)
					w.leave(1, t.Lease())
					_ = t.Resign()
				}
				w.finished()
			}})
		}
	}
	sweepAll(t, all)
}
