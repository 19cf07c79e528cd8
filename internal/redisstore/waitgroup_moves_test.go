package redisstore

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/taskgroup"
)

// trouble is what may befall the server in a schedule, besides what always may.
// A clock that is set back and a loss do not mix: of a group that is lost the
// numbers are known by the clock only.
type trouble int

const (
	none trouble = iota
	clockSetBack
	loss
	longPause // on miniredis: for longer than an operation is remembered
)

// numbering is the client's side of a session, see [taskgroup.Session].
type numbering struct {
	id                 string
	last, ackedThrough int64
	acked              map[int64]bool
	open               []*call
}

// call is an operation that is not over.
type call struct {
	*numbering
	change taskgroup.Operation
}

// letter is a copy of a request on its way.
type delivery struct {
	*call
	change taskgroup.Operation
}

func (n *numbering) end(c *call) {
	n.acked[c.change.Seq] = true
	n.open = slices.DeleteFunc(n.open, func(o *call) bool { return o == c })
	for n.acked[n.ackedThrough+1] {
		n.ackedThrough++
	}
}

func (c *call) post() *delivery {
	l := &delivery{c, c.change}
	l.change.AckedThrough = c.ackedThrough
	return l
}

// step draws and does what happens next. Most requests arrive, and most replies.
func (s *groupWalk) step() (name, saw, want string) {
	n := s.sessions[s.rng.IntN(len(s.sessions))]
	open := &call{}
	if all := slices.Concat(s.sessions[0].open, s.sessions[1].open, s.sessions[2].open); len(all) > 0 {
		open = all[s.rng.IntN(len(all))]
	}
	asked, what := open.numbering != nil, open.change.Op
	switch x := s.rng.IntN(100); {
	case x < 12 && asked:
		return s.deliver(open.post())
	case x < 20 && asked && what != taskgroup.OpDone && what != taskgroup.OpAbandon:
		open.change.Op, open.change.TTL = taskgroup.OpUndo, 0
		return s.deliver(open.post())
	case x < 24 && what == taskgroup.OpUndo:
		open.end(open) // no reply has come, and none is waited for any more
		return "forget " + describe(open.change), "", ""
	case x < 24:
	case x < 36 && len(s.flight) > 0:
		i := s.rng.IntN(len(s.flight))
		l := s.flight[i]
		s.flight = slices.Delete(s.flight, i, i+1)
		return s.deliver(l)
	case x < 36:
	case x < 43 && len(s.tokens) > 0:
		token := s.tokens[s.rng.IntN(len(s.tokens))]
		return "renew " + short(token), fmt.Sprint(s.renew(token, ttlOf(token))), fmt.Sprint(s.model.renew(token))
	case x < 43:
	case x < 48:
		d := []time.Duration{40, 70, 120}[s.rng.IntN(3)] * time.Second
		s.pass(d)
		return fmt.Sprint("pass ", d), "", ""
	case x < 52 && s.trouble != none:
		return s.mishap(), "", ""
	}
	n.last++
	c := &call{n, s.draw(n)}
	n.open = append(n.open, c)
	l := c.post()
	if s.rng.IntN(5) > 0 {
		return s.deliver(l)
	}
	if s.rng.IntN(2) > 0 {
		s.flight = append(s.flight, l)
	}
	return "post " + describe(c.change), "", ""
}

// mishap is the trouble of this schedule.
func (s *groupWalk) mishap() string {
	switch {
	case s.trouble == clockSetBack:
		s.pass(-time.Hour)
		return "pass -1h"
	case s.trouble == loss:
		s.pass(time.Second) // or the numbers begin again below those of the same us
		check(s.T, s.rdb.Del(s.Context(), s.key).Err())
		s.model.forget()
		return "pass 1s and lose the key"
	}
	s.pass(groupKept + time.Minute)
	s.flight = nil // nothing is under way for so long, nor sent again
	for _, n := range s.sessions {
		for len(n.open) > 0 {
			n.end(n.open[0])
		}
	}
	return "pass 66m"
}

// draw is what a session does next.
func (s *groupWalk) draw(n *numbering) taskgroup.Operation {
	c := taskgroup.Operation{Key: s.key, Session: n.id, Seq: n.last}
	switch x := s.rng.IntN(20); {
	case x < 5:
		c.Op, c.Delta = taskgroup.OpAdd, 1+s.rng.Int64N(3)
	case x < 8:
		c.Op, c.Delta = taskgroup.OpAdd, -1-s.rng.Int64N(3)
	case x < 13:
		if c.Op = taskgroup.OpStart; x > 10 {
			c.Op = taskgroup.OpClaim
		}
		c.Token = fmt.Sprintf("baton:%d:%c%d", []int{100_000, 100_000, 150_000}[s.rng.IntN(3)], 'a'+len(s.tokens), s.seed)
		if s.trouble == longPause && s.rng.IntN(3) == 0 {
			c.Token = fmt.Sprintf("baton:7200000:%c%d", 'a'+len(s.tokens), s.seed)
		}
		s.tokens = append(s.tokens, c.Token)
		c.TTL = ttlOf(c.Token)
	default:
		if c.Op = taskgroup.OpDone; x > 17 {
			c.Op = taskgroup.OpAbandon
		}
		c.Token = "baton:10000:unknown"
		if live := s.live(); len(live) > 0 && s.rng.IntN(4) > 0 {
			c.Token = live[s.rng.IntN(len(live))]
		} else if len(s.tokens) > 0 {
			c.Token = s.tokens[s.rng.IntN(len(s.tokens))]
		}
	}
	return c
}

func (s *groupWalk) live() []string {
	if s.model.last == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.model.last.tasks))
}

// deliver has a copy of a request executed. Another one may stay under way, and
// the reply may be lost. As to a session the first reply decides, but to a request
// that it has undone.
func (s *groupWalk) deliver(l *delivery) (name, saw, want string) {
	outcome := s.model.change(l.change)
	got, err := s.UpdateGroup(s.Context(), l.change)
	name, saw, want = describe(l.change), fmt.Sprint(got.Outcome, err), fmt.Sprint(outcome, nil)
	id, counted := opID{l.id, l.change.Seq}, 1
	if l.change.Op == taskgroup.OpUndo {
		counted = 0
	}
	if outcome == taskgroup.Applied {
		equal(s.T, fmt.Sprint("effect of ", id), s.model.counted[id], counted)
	}
	if s.rng.IntN(4) == 0 {
		s.flight = append(s.flight, l)
	}
	switch c := l.call; {
	case c.acked[c.change.Seq]:
		name = "late " + name
	case s.rng.IntN(4) == 0:
		name = "unheard " + name
	case l.change.Op == c.change.Op:
		c.end(c)
		s.final[id] = s.model.counted[id]
	}
	return name, saw, want
}

func describe(c taskgroup.Operation) string {
	of := short(c.Token)
	if c.Token == "" {
		of = fmt.Sprintf("%+d", c.Delta)
	}
	return fmt.Sprintf("%s %s %s.%d low %d", c.Op, of, c.Session, c.Seq, c.AckedThrough)
}

// pass moves the server's time. Where that cannot be, the tasks' ends are moved.
func (s *groupWalk) pass(d time.Duration) {
	s.Helper()
	s.model.pass(d)
	if s.mini != nil {
		s.mini.SetTime(s.start.Add(s.model.clock))
		return
	}
	s.start = s.start.Add(-d)
	for token, ends := range s.stored().tasks {
		score := float64(ends - d.Milliseconds())
		check(s.T, s.rdb.ZAddXX(s.Context(), s.key, redis.Z{Score: score, Member: token}).Err())
	}
}
