package linear

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// tally is what a history has in it: a check of one that has little shows little.
type tally struct {
	operations      int
	grants, changes int // changes are grants after one to another process
	refused, judged int // tries; judged are those without an excuse
	lost, open      int // holds
	failed          int // requests
}

func (c *chronicle) tally(key string, history []porcupine.Operation) (t tally) {
	var grants []*span
	for _, s := range c.of(key) {
		switch {
		case s.result == Failed:
			t.failed++
		case s.result == OK:
			grants = append(grants, s)
			if s.open() {
				t.open++
			} else if s.end != OK {
				t.lost++
			}
		}
	}
	slices.SortFunc(grants, func(a, b *span) int { return cmp.Compare(a.answered, b.answered) })
	for i, s := range grants {
		if i > 0 && s.process != grants[i-1].process {
			t.changes++
		}
	}
	t.operations, t.grants = len(history), len(grants)
	for _, op := range history {
		if op.Output.(Answer).Result == Locked {
			t.refused++
			if !op.Input.(Request).Excused {
				t.judged++
			}
		}
	}
	return t
}

func (t tally) String() string {
	return fmt.Sprintf("%d operations; %d grants, %d to another process than before; %d tries refused, %d without an excuse; %d holds lost, %d without an end; %d requests failed",
		t.operations, t.grants, t.changes, t.refused, t.judged, t.lost, t.open, t.failed)
}
