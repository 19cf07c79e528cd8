package clienttest

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/redistest"
)

// TestSlotMovesAtOnce moves a slot with all its keys while each primitive is held and has a waiter. The
// holds survive, and are handed over afterwards.
func TestSlotMovesAtOnce(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 2)
	here, there := c.Client(t), c.Client(t)
	type moved struct {
		primitive
		held
		waited <-chan error
	}
	all := map[string]moved{}
	for name, of := range primitives {
		holder, waiter := of(here, "{t}"+name, 10*time.Second), of(there, "{t}"+name, 10*time.Second)
		if holder.wait == nil { // a limiter has no holds
			continue
		}
		h, err := holder.hold(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		waited := startWait(t.Context(), waiter)
		if holder.waiting != nil {
			redistest.Eventually(t, redistest.Patience, func() bool { return must(holder.waiting(t.Context())) == 1 }, "%s has a waiter", name)
		}
		all[name] = moved{holder, h, waited}
	}
	c.MoveAtOnce(t, c.Slot(t, "{t}"), 0)
	for name, m := range all {
		if err := m.err(); err != nil {
			t.Errorf("%s: the hold after the move: %v", name, err)
		}
		select {
		case err := <-m.waited:
			t.Errorf("%s: the wait ended before the release: %v", name, err)
		default:
		}
		if m.try != nil {
			if _, err := m.try(t.Context()); err == nil {
				t.Errorf("%s: a try succeeds before the release", name)
			}
		}
		if err := m.release(); err != nil {
			t.Errorf("%s: release after the move: %v", name, err)
		}
		if err := <-m.waited; err != nil {
			t.Errorf("%s: the wait: %v", name, err)
		}
	}
}
