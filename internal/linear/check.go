package linear

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Patience bounds the check of one key. A history that has not been decided by
// then counts as wrong: one that is right takes milliseconds.
const Patience = 10 * time.Second

// maxOpen is how many operations without an end a key may have: the cost of a
// verdict is exponential in it.
const maxOpen = 8

// Check decides whether the history of a key is linearizable. If it is not, the
// error says what could not be put in any order, and where a picture of it is.
func Check(model porcupine.Model, history []porcupine.Operation) error {
	open := 0
	for _, op := range history {
		if op.Return == Forever {
			open++
		}
	}
	if open > maxOpen {
		return fmt.Errorf("%d operations have no end, so that a check might not end either", open)
	}
	if err := repeats(history); err != nil {
		return err
	}
	result := porcupine.CheckOperationsTimeout(model, history, Patience)
	if result == porcupine.Ok {
		return nil
	}
	result, info := porcupine.CheckOperationsVerbose(model, history, Patience)
	path, err := draw(model, info)
	if err != nil {
		path = err.Error()
	}
	return fmt.Errorf("%s: %s\npicture: %s", result, stuck(model, info, history), path)
}

// repeats finds a fence that two have, which only readers may. To have it in the
// models would make their states grow with the history.
func repeats(history []porcupine.Operation) error {
	whose := map[int64]int64{}
	for _, op := range history {
		r, fence := op.Input.(Request), op.Output.(Answer).Fence
		if fence == 0 || r.Shared {
			continue
		}
		if other, ok := whose[fence]; ok {
			return fmt.Errorf("%s: #%d and #%d have the same fence %d", porcupine.Illegal, other, r.Hold, fence)
		}
		whose[fence] = r.Hold
	}
	return nil
}

// draw writes porcupine's picture to a file that stays when the test is over.
func draw(model porcupine.Model, info porcupine.LinearizationInfo) (path string, err error) {
	f, err := os.CreateTemp("", "baton-linear-*.html")
	if err != nil {
		return "", err
	}
	err = porcupine.Visualize(model, info, f)
	if e := f.Close(); err == nil {
		err = e
	}
	return f.Name(), err
}

// stuck tells how far the best attempt came, and shows the operations around.
func stuck(model porcupine.Model, info porcupine.LinearizationInfo, history []porcupine.Operation) string {
	var best []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, ops := range partition {
			if len(ops) > len(best) {
				best = ops
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d operations can be put in order; the last of them:", len(best), len(history))
	for _, op := range best[max(0, len(best)-8):] {
		b.WriteString("\n  " + show(op))
	}
	in := map[porcupine.Operation]bool{}
	state := model.Init()
	for _, op := range best {
		in[op] = true
		_, state = model.Step(state, op.Input, op.Output)
	}
	fmt.Fprintf(&b, "\nwhich leaves %+v", state)
	rest := slices.Clone(history)
	rest = slices.DeleteFunc(rest, func(op porcupine.Operation) bool { return in[op] })
	slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	b.WriteString("\nand then none of:")
	for _, op := range rest[:min(8, len(rest))] {
		b.WriteString("\n  " + show(op))
	}
	return b.String()
}

func show(op porcupine.Operation) string {
	end := "…"
	if op.Return != Forever {
		end = fmt.Sprintf("%.3f", float64(op.Return)/1e6)
	}
	return fmt.Sprintf("[%.3f, %s] ms client %d: %s", float64(op.Call)/1e6, end, op.ClientId, describe(op.Input.(Request), op.Output.(Answer)))
}
