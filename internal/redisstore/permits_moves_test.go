package redisstore

import (
	"fmt"
	"strings"

	"github.com/seed-3d5fec5c/baton/internal/lease"
)

// next draws a move. What a process says is mostly what one would say in its
// place, now and then what only a lost or late answer would make it say.
func (s *schedule) next() move {
	p := s.rng.IntN(len(s.tokens))
	switch x := s.rng.IntN(100); {
	case x < 62:
		return s.remember(s.sendUpdate(s.updateOf(p)))
	case x < 72:
		token := s.tokens[p]
		if s.rng.IntN(3) > 0 {
			s.renewToken(p)
		}
		return s.remember(s.end(token))
	case x < 77:
		return s.keepAlive(s.tokens[p])
	case x < 84 && len(s.sent) > 0:
		m := s.sent[s.rng.IntN(len(s.sent))]
		m.name = "again " + m.name
		return m
	case x < 87 && s.name.Kind == lease.Semaphore:
		declared, n := s.size, 1+s.rng.Int64N(12)
		return s.remember(move{name: fmt.Sprint("resize ", n), do: func() (string, string) {
			s.model.resize(declared, n)
			return fmt.Sprint(s.Resize(s.Context(), s.name.Key, declared, n)), "<nil>"
		}})
	default:
		return s.mishap()
	}
}

func (s *schedule) remember(m move) move {
	s.sent = append(s.sent, m)
	return m
}

// updateOf draws the next statement of a process.
func (s *schedule) updateOf(p int) (name string, q lease.Request) {
	token := s.tokens[p]
	h, waits := s.model.holds[token], s.model.waiter(token)
	s.n[p]++
	n, has := s.n[p], int64(0)
	if h != nil {
		has = h.weight
	}
	want, keep := 1+s.rng.Int64N(s.size), []int64{0, has, has, s.rng.Int64N(has + 1)}[s.rng.IntN(4)]
	if s.name.Kind == lease.RWMutex {
		want = []int64{1, 1, lease.ExclusiveWeight}[s.rng.IntN(3)]
		if keep > 1 && keep < has { // a writer keeps all or becomes a reader
			keep = 1
		}
	}
	order := n
	switch x := s.rng.IntN(20); {
	case x < 5: // wants something new
	case x < 9 && waits != nil:
		name, want, order = "refresh", waits.Want, waits.WantSeq
	case x < 12 && h != nil:
		name, want, order, keep = "unheard", h.given, h.order, max(0, has-h.given)
	case x == 12 || x < 15 && (h != nil || waits != nil):
		name, want = "lower", 0
	case x == 15 && keep < has+2:
		name, keep = "more than it has", has+1
	case x == 16 && s.name.Kind == lease.Semaphore:
		want += s.rng.Int64N(5)
	default:
		if keep = 0; h == nil {
			name = "fresh"
		}
	}
	q = s.update(token, n, keep, want)
	if q.WantSeq = order; want == 0 {
		q.WantSeq = 0
	}
	if q.Enqueue = s.rng.IntN(5) > 0; s.name.Kind == lease.RWMutex {
		q.WantShared, q.HeldShared = want == 1, keep == 1
		return name, q
	}
	if s.rng.IntN(3) == 0 {
		q.Extra = s.rng.Int64N(4)
	}
	switch s.rng.IntN(12) {
	case 0:
		q.Size++ // which is wrong, mostly
	case 1, 2:
		q.Size = max(s.model.size, q.Size)
	}
	return name, q
}

func (s *schedule) sendUpdate(name string, q lease.Request) move {
	try := ""
	if !q.Enqueue {
		try = " try"
	}
	name = strings.TrimSpace(fmt.Sprintf("%s %s n%d keep %d want %d q%d", name, short(q.Token), q.Seq, q.Keep, q.Want, q.WantSeq)) + try
	if q.Extra > 0 || q.Size != s.size {
		name += fmt.Sprintf(" more %d size %d", q.Extra, q.Size)
	}
	m := move{name: "ask " + name}
	m.do = func() (string, string) {
		reply, wrong := s.model.update(q)
		want := verdict(reply)
		if wrong > 0 {
			want = "permanent " + strings.TrimPrefix(sizeError(q, wrong).Error(), "baton: ")
		}
		return s.answered(q), want
	}
	return m
}

func (s *schedule) end(token string) move {
	return move{name: "release " + short(token), do: func() (string, string) {
		owned := s.model.release(token)
		got, err := s.Release(s.Context(), s.name, token)
		return fmt.Sprint(got, " ", err), fmt.Sprint(owned, " <nil>")
	}}
}

func (s *schedule) keepAlive(token string) move {
	return move{name: "renew " + short(token), do: func() (string, string) {
		s.model.told, s.model.acted = nil, false
		h := s.model.holds[token]
		want := lease.RenewResult{Held: h != nil, Contended: h != nil && s.model.noted > 0, SeveralWait: h != nil && s.model.noted > 1}
		got := renewAll(s, []lease.Renewal{{Name: s.name, Token: token, TTL: lockTTL}})[0]
		return fmt.Sprint(got), fmt.Sprint(want)
	}}
}

// mishap draws something that befalls the keys, or who has records there.
func (s *schedule) mishap() move {
	plain := func(name string, server, model func()) move {
		return move{name: name, do: func() (string, string) {
			s.model.told, s.model.acted = nil, false
			model()
			server()
			return "", ""
		}}
	}
	del := func(keys ...string) func() {
		return func() { check(s.T, s.rdb.Del(s.Context(), keys...).Err()) }
	}
	nothing := func() {}
	noQueue := func() { s.model.queue = nil }
	holding, waiting := s.holding(), s.waiting()
	switch x := s.rng.IntN(20); {
	case x < 7 && len(holding) > 0:
		token := holding[s.rng.IntN(len(holding))]
		return plain("expires "+short(token), func() { s.expires(token) }, func() { delete(s.model.holds, token) })
	case x < 11 && len(waiting) > 0:
		token := waiting[s.rng.IntN(len(waiting))]
		return plain("dies "+short(token), func() { s.dies(token) }, func() { s.model.waiter(token).dead = true })
	case x < 13 && len(holding) > 0: // as a renewal does
		token := holding[s.rng.IntN(len(holding))]
		return plain("early "+short(token), func() { s.early(token) }, nothing)
	case x == 13:
		return plain("holders lost", del(s.holders), nothing)
	case x == 14:
		return plain("queue lost", del(s.queue), noQueue)
	case x == 15:
		return plain("entries lost", del(s.waiters), noQueue)
	case x == 16:
		return plain("main lost", del(s.main), s.model.forget)
	case x == 17:
		return plain("flushed", del(s.main, s.holders, s.queue, s.waiters), func() { s.model.forget(); noQueue() })
	default:
		return plain("clock set back", s.setBack, func() {
			for _, p := range s.model.queue {
				p.dead = false
			}
		})
	}
}
