package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	engine "github.com/seed-3d5fec5c/baton/internal/lease"
)

const (
	// noEnd is the end of a call that may take effect at any later time.
	noEnd = math.MaxInt64
	// verdictTimeout limits the check of a history. A correct history takes milliseconds.
	verdictTimeout = 30 * time.Second
	// maxOpenCalls is the maximum number of calls without an end, because the cost of a check
	// is exponential in this number.
	maxOpenCalls = 8
)

// A call is an operation of a client on a key, as input of the model.
type call struct {
	act     string
	hold    int64
	weight  int32
	fence   int64
	excused bool // a failed try that is allowed without a holder
}

// holders is the state of a key: its holds and the last fences.
type holders struct {
	used             int32
	holds            []int64 // ascending; never changed in place
	written, highest int64   // the last fence of an exclusive hold, and the highest fence
}

// model returns the model of a local lock in memory.
func model(key string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return holders{} },
		Step: func(state, in, _ any) (bool, any) {
			next, ok := state.(holders).step(workloadOf(key), in.(call))
			return ok, next
		},
		Equal: func(a, b any) bool {
			s, t := a.(holders), b.(holders)
			return s.used == t.used && s.written == t.written && s.highest == t.highest && slices.Equal(s.holds, t.holds)
		},
	}
}

func (s holders) step(w workload, c call) (holders, bool) {
	i, has := slices.BinarySearch(s.holds, c.hold)
	switch c.act {
	case "refuse": // a failed try
		return s, s.used+c.weight > w.capacity || c.excused
	case "release of a lost hold":
		return s, !has
	case "release", "expire":
		if has {
			s.used -= c.weight
			s.holds = slices.Delete(slices.Clone(s.holds), i, i+1)
		}
		return s, has
	}
	ok := s.used+c.weight <= w.capacity
	whole := c.weight == w.capacity
	if w.ordered { // fences of readers are not ordered among readers
		ok = ok && (c.fence > s.highest || !whole && c.fence > s.written)
	}
	if s.highest = max(s.highest, c.fence); whole {
		s.written = c.fence
	}
	s.used += c.weight
	s.holds = slices.Insert(slices.Clone(s.holds), i, c.hold)
	return s, ok
}

// calls returns the calls of the interval. A hold without a release expires, after the last time that Err returned nil.
func (h *interval) calls(excused bool) (ops []porcupine.Operation) {
	add := func(act string, from, to int64) {
		ops = append(ops, porcupine.Operation{ClientId: int(h.Worker), Input: call{act, h.ID, h.Weight, h.Fence, excused}, Call: from, Return: to})
	}
	if h.Replied != 0 && h.Result == locked && onlyTried(h.key()) {
		add("refuse", h.Requested, h.Replied)
	}
	if !h.granted() {
		return ops
	}
	add("grant", h.Requested, h.Replied)
	if h.Released != 0 && h.End == ok {
		add("release", h.Release, h.Released)
		return ops
	}
	// Without a successful Err, the hold expires after the request.
	add("expire", max(h.Requested, h.Last), cmp.Or(h.knownEnd(), noEnd))
	if h.Released != 0 && h.End == lost {
		add("release of a lost hold", h.Release, h.Released)
	}
	return ops
}

// excusesTriesUntil returns until when the interval may make a try fail without a holder, and whether
// this includes tries of other processes.
func (h *interval) excusesTriesUntil(ttl time.Duration) (until int64, others bool) {
	linger := int64(engine.WaiterTTL + ttl + 100*time.Millisecond)
	switch {
	case h.Replied == 0, h.granted() && h.knownEnd() == 0:
		return noEnd, true
	case h.Result != ok && h.Result != locked:
		return h.Replied + linger, true
	case h.granted() && (h.End != ok || triedWhileIdle(h.key())): // the holder detects the end earlier than Redis, or its claim lingers
		return h.knownEnd() + linger, true
	}
	// A slow request may have been granted, have got the reply after the window, and have been
	// repeated.
	return h.Replied, h.Replied-h.Requested > int64(ttl/2)
}

// isExcusedTry reports whether a try may have failed without a holder.
func isExcusedTry(all []*interval, try *interval, ttl time.Duration) bool {
	for _, h := range all {
		if h.Requested > try.Replied {
			return false
		}
		until, others := h.excusesTriesUntil(ttl)
		if h != try && until >= try.Requested && (others || h.Worker == try.Worker) {
			return true
		}
	}
	return false
}

// linearizable checks that all calls on a key can be ordered, each at a time between its start and its
// end, so that the key behaves like a lock in memory. It skips keys that Redis has lost.
func linearizable(s *timeline, key string, ttl time.Duration) []violation {
	if s.isExcused(key, 0, noEnd) {
		return nil
	}
	all := s.intervals(key)
	var ops []porcupine.Operation
	open := 0
	for _, h := range all {
		excused := h.Result != locked || !onlyTried(key) || isExcusedTry(all, h, ttl)
		for _, op := range h.calls(excused) {
			if ops = append(ops, op); op.Return == noEnd {
				open++
			}
		}
	}
	if open > maxOpenCalls {
		return nil
	}
	switch result, info := porcupine.CheckOperationsVerbose(model(key), ops, verdictTimeout); result {
	case porcupine.Unknown:
		fmt.Fprintf(os.Stderr, "soak: %s: the check of %d calls did not finish in %v\n", key, len(ops), verdictTimeout)
	case porcupine.Illegal:
		return []violation{violated("linear", "%s: %s", key, explain(ops, info))}
	}
	return nil
}

// explain describes the longest valid order, and the calls that cannot follow it.
func explain(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	best := slices.MaxFunc(info.PartialLinearizationsOperations()[0], func(a, b []porcupine.Operation) int { return cmp.Compare(len(a), len(b)) })
	rest := slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool { return slices.Contains(best, op) })
	slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	return fmt.Sprintf("%d of %d calls can be ordered, the last of them%s\n  none of these can follow%s",
		len(best), len(ops), describe(best[max(0, len(best)-8):]), describe(rest[:min(8, len(rest))]))
}

func describe(ops []porcupine.Operation) (text string) {
	for _, op := range ops {
		text += fmt.Sprintf("\n    [%s, %s] ms %+v", millis(op.Call), millis(op.Return), op.Input)
	}
	return text
}
