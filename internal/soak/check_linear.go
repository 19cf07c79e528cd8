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
	// forever is the end of a call that may take effect at any time to come.
	forever = math.MaxInt64
	// undecided is after how long a history stays without a verdict. One that is right
	// takes milliseconds.
	undecided = 30 * time.Second
	// fewOpen is how many calls without an end a history may have: the cost of a verdict
	// is exponential in it.
	fewOpen = 8
)

type act string

const (
	grant   act = "grant"
	refuse  act = "refuse" // a try
	giveUp  act = "release"
	expire  act = "expire" // a hold that was not released ends, some time after it was last believed in
	tooLate act = "release a lost hold"
)

// A call is what a client did with a key, as the model knows it.
type call struct {
	act     act
	hold    int64
	weight  int32
	fence   int64
	excused bool // a try that was refused though perhaps nobody held the key
}

// holders is the state of a key: who holds it, and the last fences.
type holders struct {
	used             int32
	holds            []int64 // ascending; never changed in place
	written, highest int64   // the fence of the last who took all, and of anybody
}

// model is a key that is not distributed at all.
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
	case tooLate:
		return s, !has
	case giveUp, expire:
		if has {
			s.used -= c.weight
			s.holds = slices.Delete(slices.Clone(s.holds), i, i+1)
		}
		return s, has
	}
	ok := s.used+c.weight <= workloadOf(key).capacity
	whole := c.weight == workloadOf(key).capacity
	if workloadOf(key).ordered { // readers are not ordered among one another
		ok = ok && (c.fence > s.highest || !whole && c.fence > s.written)
	}
	if s.highest = max(s.highest, c.fence); whole {
		s.written = c.fence
	}
	s.used += c.weight
	s.holds = slices.Insert(slices.Clone(s.holds), i, c.hold)
	return s, ok
}

// calls are those of the span.
func (h *interval) calls(excused bool) (ops []porcupine.Operation) {
	add := func(a act, from, to int64) {
		ops = append(ops, porcupine.Operation{ClientId: int(h.worker), Input: call{a, h.id, h.weight, h.fence, excused}, Call: from, Return: to})
	}
	switch {
	case h.answered != 0 && h.result == locked && onlyTried(h.key):
		add(refuse, h.asked, h.answered)
	case h.granted():
		add(grant, h.asked, h.answered)
		last := max(h.asked, h.last) // of one that was never believed in, all that is known is that it was granted
		switch {
		case h.released != 0 && h.end == ok:
			add(giveUp, h.release, h.released)
			return ops
		case h.over() == 0:
			add(expire, last, forever)
		default:
			add(expire, last, h.over())
		}
		if h.released != 0 && h.end == lost {
			add(tooLate, h.release, h.released)
		}
	}
	return ops
}

// leaves tells until when the span may have a try refused that finds nobody inside, and
// whether one of another process too.
func (h *interval) leaves(ttl time.Duration) (until int64, others bool) {
	linger := int64(engine.WaiterTTL + ttl + 100*time.Millisecond)
	switch {
	case h.answered == 0, h.granted() && h.over() == 0:
		return forever, true
	case h.result != ok && h.result != locked:
		return h.answered + linger, true
	case h.granted() && (h.end != ok || triedWhileIdle(h.key)): // the holder knows before Redis does; its claim may linger
		return h.over() + linger, true
	}
	// One that took so long may have been granted, have heard of it when that was over, and
	// have asked again.
	return h.answered, h.answered-h.asked > int64(ttl/2)
}

// excused tells whether a try of the key may have been refused though nobody held it.
func excused(all []*interval, try *interval, ttl time.Duration) bool {
	for _, h := range all {
		if h.asked > try.answered {
			return false
		}
		until, others := h.leaves(ttl)
		if h != try && until >= try.asked && (others || h.worker == try.worker) {
			return true
		}
	}
	return false
}

// linearizable checks that all calls on a key can be put in an order, each at some time
// between its begin and its end, in which the key behaves like one in memory. It
// returns how many refused tries had no excuse. Keys that Redis has forgotten meanwhile
// are left out.
func linearizable(s *timeline, key string, ttl time.Duration) (judged int, list []violation) {
	if s.isExcused(key, 0, forever) {
		return 0, nil
	}
	all := s.of(key)
	var ops []porcupine.Operation
	open := 0
	for _, h := range all {
		if h.result == locked && !onlyTried(key) {
			continue
		}
		free := h.result != locked || excused(all, h, ttl)
		if !free {
			judged++
		}
		for _, op := range h.calls(free) {
			if ops = append(ops, op); op.Return == forever {
				open++
			}
		}
	}
	if open > fewOpen {
		return 0, nil
	}
	m := model(key)
	switch result, info := porcupine.CheckOperationsVerbose(m, ops, undecided); result {
	case porcupine.Unknown:
		fmt.Fprintf(os.Stderr, "soak: %s: no order of %d calls was found or excluded in %v\n", key, len(ops), undecided)
	case porcupine.Illegal:
		list = append(list, violated("linear", "%s: %s", key, stuck(ops, info)))
	}
	return judged, list
}

// stuck tells how far the best attempt came, and what could not come next.
func stuck(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
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
	text := fmt.Sprintf("%d of %d calls can be put in order, the last of them", len(best), len(ops))
	show := func(list []porcupine.Operation) {
		for _, op := range list {
			text += fmt.Sprintf("\n    [%.3f, %.3f] ms %+v", float64(op.Call)/1e6, float64(op.Return)/1e6, op.Input)
		}
	}
	show(best[max(0, len(best)-8):])
	text += "\n  and then none of"
	show(rest[:min(8, len(rest))])
	return text
}
