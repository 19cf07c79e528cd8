package lease

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// walkRounds is what the scripts of the wait group do, in Go, on the clock of the
// bubble; names are theirs. It is a [Counter] without a network.
type walkRounds struct {
	mu     sync.Mutex
	groups map[string]*walkRound
	topics map[string]map[*walkStore]Listener // by channel
	log    func(format string, args ...any)
}

type walkRound struct {
	round, count, abandoned, since int64
	tasks                          map[string]int64 // when each ends
	records                        map[int64]int64  // of the rounds that lost tasks
	operations                     map[string]*walkOperations
}

type walkOperations struct {
	low  int64
	said map[int64]walkSaid
}

type walkSaid struct {
	Change
	answer Answer
	round  int64
}

const walkTopic = "over:"

func newWalkRounds(log func(string, ...any)) *walkRounds {
	return &walkRounds{groups: map[string]*walkRound{}, topics: map[string]map[*walkStore]Listener{}, log: log}
}

func (f *walkRounds) Topic(key string) (string, error) { return walkTopic + key, nil }

func (f *walkRounds) group(key string) *walkRound {
	g := f.groups[key]
	if g == nil {
		g = &walkRound{tasks: map[string]int64{}, records: map[int64]int64{}, operations: map[string]*walkOperations{}}
		f.groups[key] = g
	}
	return g
}

func (g *walkRound) left() int64 { return g.count + int64(len(g.tasks)) }

func (g *walkRound) begin() {
	if g.left() > 0 {
		return
	}
	fresh := g.round == 0
	if g.round, g.abandoned = max(g.round+1, time.Now().UnixMicro()), 0; fresh {
		g.since = g.round
	}
}

// write ends the round if nothing is left of it.
func (f *walkRounds) write(key string, g *walkRound) {
	f.log("round %d: count %d, %d tasks, %d abandoned", g.round, g.count, len(g.tasks), g.abandoned)
	if g.left() > 0 {
		return
	}
	if g.abandoned > 0 {
		g.records[g.round] = g.abandoned
	}
	m := Handover{Name: Name{WaitGroup, key}, Token: "-", N: g.round, Weight: g.abandoned}
	for s, l := range f.topics[walkTopic+key] {
		s.mu.Lock()
		copies, delay := s.message()
		s.mu.Unlock()
		for range copies {
			time.AfterFunc(delay, func() { l.Heard(m) })
		}
	}
}

func (f *walkRounds) purge(key string, g *walkRound) {
	before := len(g.tasks)
	maps.DeleteFunc(g.tasks, func(_ string, ends int64) bool { return ends <= nowMilli() })
	if ended := before - len(g.tasks); ended > 0 {
		g.abandoned += int64(ended)
		f.write(key, g)
	}
}

func (f *walkRounds) Change(_ context.Context, c Change) (Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.change(c)
	f.log("%s %d %s: %d", c.What, c.Op, short(c.Token), a)
	return a, nil
}

func (f *walkRounds) change(c Change) Answer {
	g := f.group(c.Key)
	ops := g.operations[c.Session]
	if ops == nil {
		ops = &walkOperations{said: map[int64]walkSaid{}}
		g.operations[c.Session] = ops
	}
	if c.Op <= ops.low {
		return Voided
	}
	f.purge(c.Key, g)
	said, known := ops.said[c.Op]
	remember := func(a Answer) Answer {
		ops.said[c.Op] = walkSaid{c, a, g.round}
		ops.low = max(ops.low, c.Low)
		maps.DeleteFunc(ops.said, func(op int64, _ walkSaid) bool { return op <= ops.low })
		return a
	}
	switch {
	case c.What == Undo:
		undone := f.undo(g, said)
		if undone {
			f.write(c.Key, g)
		}
		remember(Voided)
		if undone {
			return Counted
		}
		return Refused
	case known:
		if said.answer == Counted && (c.What == Go || c.What == Join) {
			if g.tasks[c.Token] == 0 {
				return Missed
			}
			g.tasks[c.Token] = nowMilli() + c.TTL.Milliseconds()
		}
		return said.answer
	}
	switch c.What {
	case Add:
		if g.count+c.Delta < 0 {
			return remember(Refused)
		}
		if c.Delta > 0 {
			g.begin()
		}
		g.count += c.Delta
	case Go:
		g.begin()
		g.tasks[c.Token] = nowMilli() + c.TTL.Milliseconds()
	case Join:
		if g.count == 0 {
			return remember(Refused)
		}
		g.count--
		g.tasks[c.Token] = nowMilli() + c.TTL.Milliseconds()
	default:
		if g.tasks[c.Token] == 0 {
			return remember(Missed)
		}
		if delete(g.tasks, c.Token); c.What == Drop {
			g.abandoned++
		}
	}
	remember(Counted)
	f.write(c.Key, g)
	return Counted
}

// undo undoes what was said, if it has been counted in a round that goes on.
func (f *walkRounds) undo(g *walkRound, said walkSaid) bool {
	switch {
	case said.answer != Counted || said.round != g.round || g.left() == 0:
	case said.What == Add && g.count >= said.Delta:
		g.count -= said.Delta
		return true
	case g.tasks[said.Token] > 0:
		if delete(g.tasks, said.Token); said.What == Join {
			g.count++
		}
		return true
	}
	return false
}

func (f *walkRounds) Look(_ context.Context, key string, from int64) (Round, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.group(key)
	f.purge(key, g)
	if from == 0 {
		from = g.round
	}
	r := Round{Number: g.round, Left: g.left(), Since: g.since, Lost: map[int64]int64{}}
	for _, number := range slices.Sorted(maps.Keys(g.records)) {
		if number >= from {
			r.Lost[number] = g.records[number]
		}
	}
	f.log("look from %d: %+v", from, r)
	return r, nil
}

func (f *walkRounds) renew(r Renewal) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.group(r.Key)
	if g.tasks[r.Token] <= nowMilli() {
		return false
	}
	g.tasks[r.Token] = nowMilli() + r.TTL.Milliseconds()
	return true
}
