package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// tally is a wait group: what the scripts must do, without keys, scores and texts.
type tally struct {
	clock   time.Duration // the server's, which starts at 0
	left    time.Duration // for which the group is kept
	last    *bout         // the round that goes on or was the last; nil: there is no group
	first   *bout         // before which nothing is known
	lost    []*bout       // those over that have lost tasks
	ended   []*bout       // whose end was told, in that order
	books   map[string]*book
	counted map[opID]int // how often an operation has an effect by now
}

// bout is a round.
type bout struct {
	number, count, abandoned int64
	tasks                    map[string]time.Duration // when each ends
}

// book is what is remembered of a session's operations.
type book struct {
	left time.Duration
	low  int64
	ops  map[int64]note
}

type note struct {
	lease.Change
	answer lease.Answer
	bout   *bout
}

type opID struct {
	session string
	op      int64
}

func newTally() *tally { return &tally{books: map[string]*book{}, counted: map[opID]int{}} }

func (b *bout) goesOn() bool { return b != nil && (b.count > 0 || len(b.tasks) > 0) }

// change returns the answer to one request.
func (m *tally) change(c lease.Change) (answer lease.Answer) {
	b, id := m.books[c.Session], opID{c.Session, c.Op}
	if b == nil {
		b = &book{ops: map[int64]note{}}
	}
	if c.Op <= b.low {
		return lease.Voided
	}
	m.purge()
	said, known := b.ops[c.Op]
	if known && c.What != lease.Undo {
		b.left = groupKept
		if said.answer != lease.Counted || said.TTL == 0 {
			return said.answer
		}
		if _, lives := m.last.task(c.Token); !lives {
			return lease.Missed
		}
		m.last.tasks[c.Token], m.left = m.clock+c.TTL, groupLife
		return lease.Counted
	}
	record := note{c, 0, nil}
	switch {
	case c.What == lease.Undo:
		if record.answer = lease.Voided; m.undo(said) {
			m.counted[id]--
			answer = lease.Counted
			m.wrote()
		}
	default:
		answer = m.count(c)
		if record.answer = answer; answer == lease.Counted {
			m.counted[id]++
			m.wrote()
		}
	}
	record.bout = m.last
	m.books[c.Session], b.ops[c.Op], b.left = b, record, groupKept
	if b.low = max(b.low, c.Low); b.low > 0 {
		maps.DeleteFunc(b.ops, func(op int64, _ note) bool { return op <= b.low })
	}
	return answer
}

func (b *bout) task(token string) (ends time.Duration, lives bool) {
	if b != nil {
		ends, lives = b.tasks[token]
	}
	return ends, lives
}

// count counts what has not been asked for before.
func (m *tally) count(c lease.Change) lease.Answer {
	on := m.last
	if !on.goesOn() {
		on = nil
	}
	switch c.What {
	case lease.Add:
		switch {
		case on == nil && c.Delta < 0 || on != nil && on.count+c.Delta < 0:
			return lease.Refused
		case on == nil:
			on = m.begin()
		}
		on.count += c.Delta
	case lease.Go:
		if on == nil {
			on = m.begin()
		}
		on.tasks[c.Token] = m.clock + c.TTL
	case lease.Join:
		if on == nil || on.count == 0 {
			return lease.Refused
		}
		on.count--
		on.tasks[c.Token] = m.clock + c.TTL
	default:
		if _, lives := on.task(c.Token); !lives {
			return lease.Missed
		}
		delete(on.tasks, c.Token)
		if c.What == lease.Drop {
			on.abandoned++
		}
	}
	return lease.Counted
}

func (m *tally) begin() *bout {
	was := m.last
	if m.last = (&bout{tasks: map[string]time.Duration{}}); was == nil {
		m.first = m.last
	}
	return m.last
}

// undo takes back what was counted in the round that goes on, if it can be.
func (m *tally) undo(said note) bool {
	on := said.bout
	if on != m.last || !on.goesOn() || said.answer != lease.Counted {
		return false
	}
	_, lives := on.tasks[said.Token]
	switch {
	case said.What == lease.Add && on.count >= said.Delta:
		on.count -= said.Delta
		return true
	case said.What == lease.Join && lives:
		on.count++
	case said.What != lease.Go || !lives:
		return false
	}
	delete(on.tasks, said.Token)
	return true
}

// purge ends the tasks whose time is over. None has more than it was given.
func (m *tally) purge() {
	if !m.last.goesOn() {
		return
	}
	ended := int64(0)
	for token, ends := range m.last.tasks {
		switch most := m.clock + ttlOf(token); {
		case ends > most:
			m.last.tasks[token], m.left = most, groupLife
		case ends <= m.clock:
			delete(m.last.tasks, token)
			ended++
		}
	}
	if m.last.abandoned += ended; ended > 0 {
		m.wrote()
	}
}

// wrote is the end of a change: if nothing is left, the round is over.
func (m *tally) wrote() {
	if m.left = groupLife; m.last.goesOn() {
		return
	}
	m.left = groupKept
	if m.ended = append(m.ended, m.last); m.last.abandoned > 0 {
		m.lost = append(m.lost, m.last)
	}
}

func (m *tally) renew(token string) (kept bool) {
	ends, lives := m.last.task(token)
	if !lives || ends <= m.clock {
		return false
	}
	m.last.tasks[token], m.left = m.clock+ttlOf(token), groupLife
	return true
}

func (m *tally) look(from int64) (r lease.Round) {
	m.purge()
	if m.last == nil {
		return r
	}
	r = lease.Round{Number: m.last.number, Left: m.last.count + int64(len(m.last.tasks)), Since: m.first.number}
	if from == 0 {
		from = r.Number
	}
	for _, b := range m.lost {
		if b.number >= from {
			if r.Lost == nil {
				r.Lost = map[int64]int64{}
			}
			r.Lost[b.number] = b.abandoned
		}
	}
	return r
}

// forget is the loss of the group's key.
func (m *tally) forget() { m.last, m.first, m.lost, m.left = nil, nil, nil, 0 }

// pass lets time pass, or sets the clock back, which no key's TTL takes notice of.
func (m *tally) pass(d time.Duration) {
	m.clock += d
	d = max(d, 0)
	if m.left -= d; m.last != nil && m.left <= 0 {
		m.forget()
	}
	for session, b := range m.books {
		if b.left -= d; b.left <= 0 {
			delete(m.books, session)
		}
	}
}

func (m *tally) String() string {
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
