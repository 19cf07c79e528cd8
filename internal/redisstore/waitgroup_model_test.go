package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// groupModel is a wait group: what the scripts must do, without keys, scores and texts.
type groupModel struct {
	clock       time.Duration // the server's, which starts at 0
	remaining   time.Duration // for which the group is kept
	last        *generation   // the generation that goes on or was the last; nil: there is no group
	oldestKnown *generation   // before which nothing is known
	lost        []*generation // those over that have lost tasks
	ended       []*generation // whose end was told, in that order
	books       map[string]*session
	counted     map[opID]int // how often an operation has an effect by now
}

// generation is one generation of the group.
type generation struct {
	number, count, abandoned int64
	tasks                    map[string]time.Duration // when each ends
}

// session is what is remembered of a session's operations.
type session struct {
	remaining    time.Duration
	ackedThrough int64
	ops          map[int64]note
}

type note struct {
	taskgroup.Operation
	outcome    taskgroup.Outcome
	generation *generation
	found      *generation // the one before
}

type opID struct {
	session string
	op      int64
}

func newTally() *groupModel {
	return &groupModel{books: map[string]*session{}, counted: map[opID]int{}}
}

func (b *generation) goesOn() bool { return b != nil && (b.count > 0 || len(b.tasks) > 0) }

// change returns the answer to one request.
func (m *groupModel) change(c taskgroup.Operation) (outcome taskgroup.Outcome) {
	b, id := m.books[c.Session], opID{c.Session, c.Seq}
	if b == nil {
		b = &session{ops: map[int64]note{}}
	}
	if c.Seq <= b.ackedThrough {
		return taskgroup.Superseded
	}
	m.purge()
	said, known := b.ops[c.Seq]
	if known && c.Op != taskgroup.OpUndo {
		b.remaining = groupKept
		if said.outcome != taskgroup.Applied || said.TTL == 0 {
			return said.outcome
		}
		if _, lives := m.last.task(c.Token); !lives {
			return taskgroup.TaskAbandoned
		}
		m.last.tasks[c.Token], m.remaining = m.clock+c.TTL, groupLife
		return taskgroup.Applied
	}
	record := note{c, 0, nil, m.last}
	switch {
	case c.Op == taskgroup.OpUndo:
		if record.outcome = taskgroup.Superseded; m.undo(said) {
			m.counted[id]--
			outcome = taskgroup.Applied
			m.wrote()
		}
	default:
		outcome = m.count(c)
		if record.outcome = outcome; outcome == taskgroup.Applied {
			m.counted[id]++
			m.wrote()
		}
	}
	record.generation = m.last
	m.books[c.Session], b.ops[c.Seq], b.remaining = b, record, groupKept
	if b.ackedThrough = max(b.ackedThrough, c.AckedThrough); b.ackedThrough > 0 {
		maps.DeleteFunc(b.ops, func(op int64, _ note) bool { return op <= b.ackedThrough })
	}
	return outcome
}

func (b *generation) task(token string) (ends time.Duration, lives bool) {
	if b != nil {
		ends, lives = b.tasks[token]
	}
	return ends, lives
}

// count counts what has not been asked for before.
func (m *groupModel) count(c taskgroup.Operation) taskgroup.Outcome {
	on := m.last
	if !on.goesOn() {
		on = nil
	}
	switch c.Op {
	case taskgroup.OpAdd:
		switch {
		case on == nil && c.Delta < 0 || on != nil && on.count+c.Delta < 0:
			return taskgroup.Rejected
		case on == nil:
			on = m.begin()
		}
		on.count += c.Delta
	case taskgroup.OpStart:
		if on == nil {
			on = m.begin()
		}
		on.tasks[c.Token] = m.clock + c.TTL
	case taskgroup.OpClaim:
		if on == nil || on.count == 0 {
			return taskgroup.Rejected
		}
		on.count--
		on.tasks[c.Token] = m.clock + c.TTL
	default:
		if _, lives := on.task(c.Token); !lives {
			return taskgroup.TaskAbandoned
		}
		delete(on.tasks, c.Token)
		if c.Op == taskgroup.OpAbandon {
			on.abandoned++
		}
	}
	return taskgroup.Applied
}

func (m *groupModel) begin() *generation {
	was := m.last
	if m.last = (&generation{tasks: map[string]time.Duration{}}); was == nil {
		m.oldestKnown = m.last
	}
	return m.last
}

// undo takes back what was counted in the generation that goes on, if it can be.
func (m *groupModel) undo(said note) bool {
	on := said.generation
	if on != m.last || !on.goesOn() || said.outcome != taskgroup.Applied {
		return false
	}
	_, lives := on.tasks[said.Token]
	switch {
	case said.Op == taskgroup.OpAdd && on.count >= said.Delta:
		on.count -= said.Delta
		return true
	case said.Op == taskgroup.OpClaim && lives:
		on.count++
	case said.Op != taskgroup.OpStart || !lives:
		return false
	}
	delete(on.tasks, said.Token)
	return true
}

// purge ends the tasks whose time is over. None has more than it was given.
func (m *groupModel) purge() {
	if !m.last.goesOn() {
		return
	}
	ended := int64(0)
	for token, ends := range m.last.tasks {
		switch most := m.clock + ttlOf(token); {
		case ends > most:
			m.last.tasks[token], m.remaining = most, groupLife
		case ends <= m.clock:
			delete(m.last.tasks, token)
			ended++
		}
	}
	if m.last.abandoned += ended; ended > 0 {
		m.wrote()
	}
}

// wrote is the end of a change: if nothing is left, the generation is over.
func (m *groupModel) wrote() {
	if m.remaining = groupLife; m.last.goesOn() {
		return
	}
	m.remaining = groupKept
	if m.ended = append(m.ended, m.last); m.last.abandoned > 0 {
		m.lost = append(m.lost, m.last)
	}
}

func (m *groupModel) renew(token string) (kept bool) {
	ends, lives := m.last.task(token)
	if !lives || ends <= m.clock {
		return false
	}
	m.last.tasks[token], m.remaining = m.clock+ttlOf(token), groupLife
	return true
}

func (m *groupModel) look(from int64) (r taskgroup.Generation) {
	m.purge()
	if m.last == nil {
		return r
	}
	r = taskgroup.Generation{Number: m.last.number, Remaining: m.last.count + int64(len(m.last.tasks)), OldestKnown: m.oldestKnown.number}
	if from == 0 {
		from = r.Number
	}
	for _, b := range m.lost {
		if b.number >= from {
			if r.Abandoned == nil {
				r.Abandoned = map[int64]int64{}
			}
			r.Abandoned[b.number] = b.abandoned
		}
	}
	return r
}

// forget is the loss of the group's key.
func (m *groupModel) forget() { m.last, m.oldestKnown, m.lost, m.remaining = nil, nil, nil, 0 }

// pass lets time pass, or sets the clock back, which no key's TTL takes notice of.
func (m *groupModel) pass(d time.Duration) {
	m.clock += d
	d = max(d, 0)
	if m.remaining -= d; m.last != nil && m.remaining <= 0 {
		m.forget()
	}
	for session, b := range m.books {
		if b.remaining -= d; b.remaining <= 0 {
			delete(m.books, session)
		}
	}
}

func (m *groupModel) String() string {
	text := "none"
	if b := m.last; b != nil {
		text = fmt.Sprintf("%d: %d", b.number, b.count)
		for _, token := range slices.Sorted(maps.Keys(b.tasks)) {
			text += fmt.Sprintf(" %s(%v)", short(token), b.tasks[token]-m.clock)
		}
		text += fmt.Sprintf(" -%d", b.abandoned)
	}
	return text
}
