package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// fakeGroup does in Go what waitgroup_*.lua do with the only wait group of the fake. Keys do not
// expire and records are not limited, as a run is too short for either.
type fakeGroup struct {
	*fakeRedis // its mutex guards the group

	exists                                    bool
	generation, count, abandoned, oldestKnown int64
	tasks                                     map[string]int64 // token -> when it ends in ms
	lost                                      map[int64]int64
	sessions                                  map[string]*fakeSession
}

type fakeSession struct {
	ackedThrough int64
	ops          map[int64]fakeOp
}

type fakeOp struct {
	taskgroup.Operation
	outcome           taskgroup.Outcome
	generation, found int64
}

func (g *fakeGroup) remaining() int64 { return g.count + int64(len(g.tasks)) }

func (g *fakeGroup) begin() {
	if g.remaining() > 0 {
		return
	}
	g.generation, g.abandoned = max(g.generation+1, time.Now().UnixMicro()), 0
	if !g.exists {
		g.exists, g.oldestKnown = true, g.generation
	}
}

// write finishes the generation if nothing of it remains.
func (g *fakeGroup) write() []message {
	if g.remaining() > 0 {
		return nil
	}
	if g.abandoned > 0 {
		g.lost[g.generation] = g.abandoned
	}
	return []message{{doneChannel, Handover{Name: Name{Kind: taskgroup.Kind, Key: "key"}, Seq: g.generation, Weight: g.abandoned}}}
}

func (g *fakeGroup) purge() (messages []message) {
	ms, ended := time.Now().UnixMilli(), int64(0)
	for token, ends := range g.tasks {
		if most := ms + ttlOf(token).Milliseconds(); ends > most {
			g.tasks[token] = most
		}
	}
	for _, token := range slices.Sorted(maps.Keys(g.tasks)) {
		if g.tasks[token] <= ms {
			g.log("abandoned %s", short(token))
			delete(g.tasks, token)
			ended++
		}
	}
	if g.abandoned += ended; ended > 0 {
		messages = g.write()
	}
	return messages
}

// ttlOf returns the TTL that a token names.
func ttlOf(token string) time.Duration {
	var ms int64
	if _, err := fmt.Sscanf(token, "baton:%d:", &ms); err != nil {
		panic(err)
	}
	return time.Duration(ms) * time.Millisecond
}

func (g *fakeGroup) update(c taskgroup.Operation) (changed taskgroup.UpdateReply, messages []message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var outcome taskgroup.Outcome
	defer func() {
		changed.Outcome = outcome
		g.log("%s %s/%d acked=%d %s%+d: %d; generation %d: %d and %d tasks, %d abandoned", c.Op, c.Session[:4], c.Seq, c.AckedThrough, short(c.Token), c.Delta,
			outcome, g.generation, g.count, len(g.tasks), g.abandoned)
	}()
	b := g.sessions[c.Session]
	if b == nil {
		b = &fakeSession{ops: map[int64]fakeOp{}}
		g.sessions[c.Session] = b
	}
	if c.Seq <= b.ackedThrough {
		outcome, changed.Found = taskgroup.Superseded, g.generation
		return changed, nil
	}
	messages = g.purge()
	changed.Found = g.generation
	prior, known := b.ops[c.Seq]
	record := fakeOp{c, 0, 0, g.generation}
	switch {
	case c.Op == taskgroup.OpUndo:
		if record.outcome = taskgroup.Superseded; known && prior.outcome == taskgroup.Applied {
			if g.undo(prior) {
				outcome = taskgroup.Applied
				messages = append(messages, g.write()...)
			}
		}
	case known:
		outcome, changed.Found = prior.outcome, prior.found
		if prior.outcome == taskgroup.Applied && prior.TTL != 0 {
			if _, running := g.tasks[c.Token]; !running {
				outcome = taskgroup.TaskAbandoned
			} else {
				g.tasks[c.Token] = time.Now().Add(c.TTL).UnixMilli()
			}
		}
		return changed, messages
	default:
		if outcome = g.apply(c); outcome == taskgroup.Applied {
			messages = append(messages, g.write()...)
		}
		record.outcome = outcome
	}
	record.generation = g.generation
	b.ops[c.Seq] = record
	if b.ackedThrough = max(b.ackedThrough, c.AckedThrough); b.ackedThrough > 0 {
		maps.DeleteFunc(b.ops, func(op int64, _ fakeOp) bool { return op <= b.ackedThrough })
	}
	return changed, messages
}

// apply applies an operation that the group has not seen before.
func (g *fakeGroup) apply(c taskgroup.Operation) taskgroup.Outcome {
	switch c.Op {
	case taskgroup.OpAdd:
		if g.count+c.Delta < 0 {
			return taskgroup.Rejected
		}
		if c.Delta > 0 {
			g.begin()
		}
		g.count += c.Delta
	case taskgroup.OpStart:
		g.begin()
		g.tasks[c.Token] = time.Now().Add(c.TTL).UnixMilli()
	case taskgroup.OpClaim:
		if g.count == 0 {
			return taskgroup.Rejected
		}
		g.count--
		g.tasks[c.Token] = time.Now().Add(c.TTL).UnixMilli()
	default:
		if _, running := g.tasks[c.Token]; !running {
			return taskgroup.TaskAbandoned
		}
		delete(g.tasks, c.Token)
		if c.Op == taskgroup.OpAbandon {
			g.abandoned++
		}
	}
	return taskgroup.Applied
}

func (g *fakeGroup) undo(op fakeOp) bool {
	if op.generation != g.generation || g.remaining() == 0 {
		return false
	}
	_, running := g.tasks[op.Token]
	switch {
	case op.Op == taskgroup.OpAdd && g.count >= op.Delta:
		g.count -= op.Delta
		return true
	case op.Op == taskgroup.OpClaim && running:
		g.count++
	case op.Op != taskgroup.OpStart || !running:
		return false
	}
	delete(g.tasks, op.Token)
	return true
}

func (g *fakeGroup) status(from int64) (r taskgroup.Generation, messages []message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	messages = g.purge()
	r = taskgroup.Generation{Number: g.generation, Remaining: g.remaining(), OldestKnown: g.oldestKnown, Abandoned: map[int64]int64{}}
	if from == 0 {
		from = g.generation
	}
	for generation, tasks := range g.lost {
		if generation >= from {
			r.Abandoned[generation] = tasks
		}
	}
	g.log("status from %d: %v", from, r)
	return r, messages
}

func (g *fakeGroup) renewTask(r Renewal) bool {
	ends, running := g.tasks[r.Token]
	running = running && ends > time.Now().UnixMilli()
	if g.log("renew %s: %v", short(r.Token), running); running {
		g.tasks[r.Token] = time.Now().Add(r.TTL).UnixMilli()
	}
	return running
}

const doneChannel = "done of the group"

func (s *fakeStore) DoneChannel(string) (string, error) { return doneChannel, nil }

func (s *fakeStore) UpdateGroup(_ context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
	return call(s, "update", func() (taskgroup.UpdateReply, []message) { return s.redis.group.update(c) })
}

func (s *fakeStore) GroupStatus(_ context.Context, _ string, from int64) (taskgroup.Generation, error) {
	return call(s, "status", func() (taskgroup.Generation, []message) { return s.redis.group.status(from) })
}

func (s *fakeStore) InspectGroup(context.Context, string) (taskgroup.Status, error) {
	panic("no test calls it")
}

// session returns a session of the group in a process that has no other.
func (s *fakeStore) session() *taskgroup.Session {
	return taskgroup.NewManager(NewManager(s).Client, s).NewSession("key")
}
