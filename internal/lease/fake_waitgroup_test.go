package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// fakeGroup is what waitgroup_*.lua do with the one wait group of the fake, in Go, on the clock of the
// bubble, but for the expiry of keys and for the limit on records, which take longer
// than a run does.
type fakeGroup struct {
	*fakeRedis // its mutex guards all of this

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

// write ends the round if nothing is left of it.
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

// ttlOf is what a token says.
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
		g.log("%s %s/%d low=%d %s%+d: %d; round %d: %d and %d tasks, %d abandoned", c.Op, c.Session[:4], c.Seq, c.AckedThrough, short(c.Token), c.Delta,
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
	said, known := b.ops[c.Seq]
	record := fakeOp{c, 0, 0, g.generation}
	switch {
	case c.Op == taskgroup.OpUndo:
		if record.outcome = taskgroup.Superseded; known && said.outcome == taskgroup.Applied {
			if g.undo(said) {
				outcome = taskgroup.Applied
				messages = append(messages, g.write()...)
			}
		}
	case known:
		outcome, changed.Found = said.outcome, said.found
		if said.outcome == taskgroup.Applied && said.TTL != 0 {
			if _, lives := g.tasks[c.Token]; !lives {
				outcome = taskgroup.TaskAbandoned
			} else {
				g.tasks[c.Token] = time.Now().Add(c.TTL).UnixMilli()
			}
		}
		return changed, messages
	default:
		if outcome = g.tell(c); outcome == taskgroup.Applied {
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

// tell counts what has not been asked for before.
func (g *fakeGroup) tell(c taskgroup.Operation) taskgroup.Outcome {
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
		if _, lives := g.tasks[c.Token]; !lives {
			return taskgroup.TaskAbandoned
		}
		delete(g.tasks, c.Token)
		if c.Op == taskgroup.OpAbandon {
			g.abandoned++
		}
	}
	return taskgroup.Applied
}

func (g *fakeGroup) undo(said fakeOp) bool {
	if said.generation != g.generation || g.remaining() == 0 {
		return false
	}
	_, lives := g.tasks[said.Token]
	switch {
	case said.Op == taskgroup.OpAdd && g.count >= said.Delta:
		g.count -= said.Delta
		return true
	case said.Op == taskgroup.OpClaim && lives:
		g.count++
	case said.Op != taskgroup.OpStart || !lives:
		return false
	}
	delete(g.tasks, said.Token)
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
	for round, tasks := range g.lost {
		if round >= from {
			r.Abandoned[round] = tasks
		}
	}
	g.log("look from %d: %v", from, r)
	return r, messages
}

func (g *fakeGroup) renewTask(r Renewal) bool {
	ends, lives := g.tasks[r.Token]
	lives = lives && ends > time.Now().UnixMilli()
	if g.log("renew %s: %v", short(r.Token), lives); lives {
		g.tasks[r.Token] = time.Now().Add(r.TTL).UnixMilli()
	}
	return lives
}

const doneChannel = "done of the group"

func (s *fakeStore) DoneChannel(string) (string, error) { return doneChannel, nil }

func (s *fakeStore) UpdateGroup(_ context.Context, c taskgroup.Operation) (taskgroup.UpdateReply, error) {
	return call(s, "change", func() (taskgroup.UpdateReply, []message) { return s.redis.group.update(c) })
}

func (s *fakeStore) GroupStatus(_ context.Context, _ string, from int64) (taskgroup.Generation, error) {
	return call(s, "look", func() (taskgroup.Generation, []message) { return s.redis.group.status(from) })
}

func (s *fakeStore) InspectGroup(context.Context, string) (taskgroup.Status, error) {
	panic("nobody asks")
}

// session returns a session of the group in a process that has no other.
func (s *fakeStore) session() *taskgroup.Session {
	return taskgroup.NewManager(NewManager(s).Client, s).NewSession("key")
}
