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

type act string

const (
	grant      act = "grant"
	refuse     act = "refuse" // a failed try
	unlock     act = "release"
	expire     act = "expire" // the end of a hold without a release, after the last time that Err returned nil
	lateUnlock act = "release a lost hold"
)

// A call is an operation of a client on a key, as input of the model.
type call struct {
	act     act
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
			next, ok := state.(holders).step(key, in.(call))
			return ok, next
		},
		Equal: func(a, b any) bool {
			s, t := a.(holders), b.(holders)
			return s.used == t.used && s.written == t.written && s.highest == t.highest && slices.Equal(s.holds, t.holds)
		},
		DescribeOperation: func(in, _ any) string { return fmt.Sprintf("%+v", in) },
	}
}

func (s holders) step(key string, c call) (holders, bool) {
	i, has := slices.BinarySearch(s.holds, c.hold)
	switch c.act {
	case refuse:
		return s, s.used+c.weight > workloadOf(key).capacity || c.excused
	case lateUnlock:
		return s, !has
	case unlock, expire:
		if has {
			s.used -= c.weight
			s.holds = slices.Delete(slices.Clone(s.holds), i, i+1)
		}
		return s, has
	}
	ok := s.used+c.weight <= workloadOf(key).capacity
	whole := c.weight == workloadOf(key).capacity
	if workloadOf(key).ordered { // fences of readers are not ordered among readers
		ok = ok && (c.fence > s.highest || !whole && c.fence > s.written)
	}
	if s.highest = max(s.highest, c.fence); whole {
		s.written = c.fence
	}
	s.used += c.weight
	s.holds = slices.Insert(slices.Clone(s.holds), i, c.hold)
	return s, ok
}

// calls returns the calls of the interval.
func (h *interval) calls(excused bool) (ops []porcupine.Operation) {
	add := func(a act, from, to int64) {
		ops = append(ops, porcupine.Operation{ClientId: int(h.worker), Input: call{a, h.id, h.weight, h.fence, excused}, Call: from, Return: to})
	}
	switch {
	case h.replied != 0 && h.result == locked && onlyTried(h.key):
		add(refuse, h.requested, h.replied)
	case h.granted():
		add(grant, h.requested, h.replied)
		last := max(h.requested, h.last) // without a successful Err, the time of the request
		switch {
		case h.released != 0 && h.end == ok:
			add(unlock, h.release, h.released)
			return ops
		case h.knownEnd() == 0:
			add(expire, last, noEnd)
		default:
			add(expire, last, h.knownEnd())
		}
		if h.released != 0 && h.end == lost {
			add(lateUnlock, h.release, h.released)
		}
	}
	return ops
}

// excusesTriesUntil returns until when the interval may make a try fail without a holder, and whether
// this includes tries of other processes.
func (h *interval) excusesTriesUntil(ttl time.Duration) (until int64, others bool) {
	linger := int64(engine.WaiterTTL + ttl + 100*time.Millisecond)
	switch {
	case h.replied == 0, h.granted() && h.knownEnd() == 0:
		return noEnd, true
	case h.result != ok && h.result != locked:
		return h.replied + linger, true
	case h.granted() && (h.end != ok || triedWhileIdle(h.key)): // the holder detects the end earlier than Redis, or its claim lingers
		return h.knownEnd() + linger, true
	}
	// A slow request may have been granted, have got the reply after the window, and have been
	// repeated.
	return h.replied, h.replied-h.requested > int64(ttl/2)
}

// isExcusedTry reports whether a try may have failed without a holder.
func isExcusedTry(all []*interval, try *interval, ttl time.Duration) bool {
	for _, h := range all {
		if h.requested > try.replied {
			return false
		}
		until, others := h.excusesTriesUntil(ttl)
		if h != try && until >= try.requested && (others || h.worker == try.worker) {
			return true
		}
	}
	return false
}

// linearizable checks that all calls on a key can be ordered, each at a time between its start and its
// end, so that the key behaves like a lock in memory. It returns the number of failed tries without an
// excuse. It skips keys that Redis has lost.
func linearizable(s *timeline, key string, ttl time.Duration) (refusedTries int, list []violation) {
	if s.isExcused(key, 0, noEnd) {
		return 0, nil
	}
	all := s.intervals(key)
	var ops []porcupine.Operation
	open := 0
	for _, h := range all {
		if h.result == locked && !onlyTried(key) {
			continue
		}
		free := h.result != locked || isExcusedTry(all, h, ttl)
		if !free {
			refusedTries++
		}
		for _, op := range h.calls(free) {
			if ops = append(ops, op); op.Return == noEnd {
				open++
			}
		}
	}
	if open > maxOpenCalls {
		return 0, nil
	}
	m := model(key)
	switch result, info := porcupine.CheckOperationsVerbose(m, ops, verdictTimeout); result {
	case porcupine.Unknown:
		fmt.Fprintf(os.Stderr, "soak: %s: the check of %d calls did not finish in %v\n", key, len(ops), verdictTimeout)
	case porcupine.Illegal:
		list = append(list, violated("linear", "%s: %s", key, explain(ops, info)))
	}
	return refusedTries, list
}

// explain describes the longest valid order, and the calls that cannot follow it.
func explain(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var best []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, list := range partition {
			if len(list) > len(best) {
				best = list
			}
		}
	}
	in := map[porcupine.Operation]bool{}
	for _, op := range best {
		in[op] = true
	}
	rest := slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool { return in[op] })
	slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	text := fmt.Sprintf("%d of %d calls can be ordered, the last of them", len(best), len(ops))
	show := func(list []porcupine.Operation) {
		for _, op := range list {
			text += fmt.Sprintf("\n    [%.3f, %.3f] ms %+v", float64(op.Call)/1e6, float64(op.Return)/1e6, op.Input)
		}
	}
	show(best[max(0, len(best)-8):])
	text += "\n  none of these can follow"
	show(rest[:min(8, len(rest))])
	return text
}
