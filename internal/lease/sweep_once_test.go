package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/retry"
)

// TestSweepOnce acquires a mutex to store a value, as Once and Flight do: as the first caller, and
// behind another process whose value ends the wait. A Flight without Keep has a value only for
// callers that came before it was stored.
func TestSweepOnce(t *testing.T) {
	finish := func(w *sweep, p *sweepProcess, l *Lease, fresh time.Duration) {
		w.leave(1, l)
		w.releasing.Add(1)
		defer w.releasing.Add(-1)
		if outcome, err := l.ReleaseValue(w.Context(), p.fakeStore, ValueWrite{Fresh: fresh, Useful: true}); outcome != ValueStored || err != nil {
			w.Errorf("%s stores the value: %v, %v", p.name, outcome, err)
		}
	}
	scenarioOf := func(name string, least int, behind bool, fresh time.Duration) scenario {
		return scenario{name, least, func(w *sweep) {
			if behind {
				b := w.process("B")
				l := w.acquire(b, params(sweepTTL))
				w.others.Go(func() {
					w.holdFor(l, 50*time.Millisecond)
					finish(w, b, l, fresh)
				})
			}
			w.arm()
			l, p := new(Lease), params(sweepTTL)
			p.Value = &ValueReader{Overlap: fresh == 0}
			err := w.await(retry.CancelTimeout, []error{ErrValueFound}, func(ctx context.Context) error { return l.Acquire(ctx, w.us.Manager, &p) })
			if late := fresh == 0 && w.plan.j > 0; behind && err == nil && !late || !behind && errors.Is(err, ErrValueFound) {
				w.Errorf("the call ends with %v", err)
			}
			if err == nil {
				w.enter(w.us, l)
				w.holdFor(l, sweepTTL/2)
				finish(w, w.us, l, fresh)
			}
			w.finished()
		}}
	}
	sweepAll(t, []scenario{
		scenarioOf("once/first", 9, false, -1), scenarioOf("once/behind", 12, true, -1), scenarioOf("flight/behind", 12, true, 0),
	})
}
