package lease

import (
	"context"
	"slices"
	"strings"
	"time"
)

// walkProcess is a process at the fake Redis whose every request and message is
// an event of the walk.
type walkProcess struct {
	*Keeper
	*walkStore
	name string
}

func (w *walk) process(name string) *walkProcess {
	s := &walkStore{fakeStore: newFakeStore(w.redis), rounds: w.rounds, bucket: w.bucket, acks: make(chan string, 10)}
	// No two processes are as far away: their events have an order.
	way := time.Duration(40+17*len(w.processes)) * time.Microsecond
	s.latency = func() time.Duration { return way }
	s.message = func() (int, time.Duration) { return 1, way + 5*time.Microsecond }
	s.lag = func(most time.Duration) time.Duration {
		if most == 2*time.Second {
			return walkLate
		}
		return most * 2 / 3
	}
	p := &walkProcess{NewKeeper(s), s, name}
	s.point = func(what string) fault { return w.point(p, what) }
	w.processes = append(w.processes, p)
	return p
}

// walkStore is a connection that serves all primitives.
type walkStore struct {
	*fakeStore
	rounds *walkRounds
	bucket *walkBucket
	acks   chan string // subscriptions that are about to be acknowledged
	apart  bool        // it cannot serve several keys in one step
}

func (s *walkStore) Joins(string, string) bool { return !s.apart }

func (s *walkStore) AskAll(_ context.Context, all bool, rs []Request) ([]Reply, error) {
	if !all {
		panic("nobody asks so")
	}
	return call(s.fakeStore, "ask", func() ([]Reply, []message) { return s.redis.askAll(rs) })
}

func (s *walkStore) ReleaseAll(_ context.Context, places []Place) ([]Released, error) {
	return call(s.fakeStore, "release", func() (out []Released, told []message) {
		s.redis.mu.Lock()
		defer s.redis.mu.Unlock()
		for _, p := range places {
			owned, ms := s.redis.leave(p.Key, p.Token)
			out, told = append(out, Released{Owned: owned}), append(told, ms...)
		}
		return out, told
	})
}

// askAll is what together.lua does for all or none.
func (f *fakeRedis) askAll(rs []Request) (out []Reply, told []message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	first := max(0, slices.IndexFunc(rs, func(r Request) bool {
		owner := f.key(r.Key).owner
		return owner != "" && owner != r.Token
	}))
	out = make([]Reply, first, len(rs))
	for i, r := range rs[first:] {
		r.Queue = false
		reply, ms := f.take(r)
		out, told = append(out, reply), append(told, ms...)
		if reply.Granted {
			continue
		}
		for _, r := range rs {
			if f.key(r.Key).owner == r.Token {
				_, ms := f.leave(r.Key, r.Token)
				told = append(told, ms...)
			}
		}
		for j := range out[:first+i] {
			out[j] = Reply{Left: -time.Millisecond}
		}
		break
	}
	return out, told
}

func (s *walkStore) Change(ctx context.Context, c Change) (Answer, error) {
	return call(s.fakeStore, "change", func() (Answer, []message) {
		a, _ := s.rounds.Change(ctx, c)
		return a, nil
	})
}

func (s *walkStore) Look(ctx context.Context, key string, from int64) (Round, error) {
	return call(s.fakeStore, "look", func() (Round, []message) {
		r, _ := s.rounds.Look(ctx, key, from)
		return r, nil
	})
}

func (s *walkStore) Topic(key string) (string, error) { return s.rounds.Topic(key) }

func (s *walkStore) Renew(ctx context.Context, rs []Renewal) []Renewed {
	if rs[0].Kind != WaitGroup {
		return s.fakeStore.Renew(ctx, rs)
	}
	out, err := call(s.fakeStore, "renew", func() (out []Renewed, _ []message) {
		for _, r := range rs {
			out = append(out, Renewed{Kept: s.rounds.renew(r)})
		}
		return out, nil
	})
	if err != nil {
		return slices.Repeat([]Renewed{{Err: err}}, len(rs))
	}
	return out
}

func (s *walkStore) Take(ctx context.Context, d Draw) (Turn, error) {
	return call(s.fakeStore, "take", func() (Turn, []message) {
		turn, _ := s.bucket.Take(ctx, d)
		return turn, nil
	})
}

func (s *walkStore) Return(ctx context.Context, d Draw) error {
	_, err := call(s.fakeStore, "return", func() (bool, []message) { return s.bucket.Return(ctx, d) == nil, nil })
	return err
}

// Listen is that of the fake store, for more than one channel.
func (s *walkStore) Listen(ctx context.Context, l Listener) {
	for ctx.Err() == nil {
		s.travel()
		to := &walkListener{l, s}
		for _, channel := range l.Channels(to) {
			s.subscribe(to, channel, true)
		}
		for broken := false; !broken; {
			select {
			case channel := <-s.acks:
				if broken = s.point("subscribed") == cut; !broken {
					l.Subscribed(channel)
				}
			case <-ctx.Done():
				broken = true
			case <-s.deafen:
				broken = true
			}
		}
		s.unsubscribe()
		if ctx.Err() == nil {
			l.Deaf()
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// walkListener is what hears on one connection, and changes what that does.
type walkListener struct {
	Listener
	store *walkStore
}

func (l *walkListener) Tune(_ context.Context, channel string, in bool) error {
	l.store.travel()
	l.store.subscribe(l, channel, in)
	return nil
}

func (s *walkStore) subscribe(l *walkListener, channel string, in bool) {
	s.redis.mu.Lock()
	s.rounds.mu.Lock()
	switch topic := strings.HasPrefix(channel, walkTopic); {
	case !in:
		delete(s.rounds.topics[channel], s)
	case topic:
		if s.rounds.topics[channel] == nil {
			s.rounds.topics[channel] = map[*walkStore]Listener{}
		}
		s.rounds.topics[channel][s] = l
	default:
		s.redis.subs[channel] = l
	}
	s.rounds.mu.Unlock()
	s.redis.mu.Unlock()
	if in {
		s.acks <- channel
	}
}

func (s *walkStore) unsubscribe() {
	s.redis.mu.Lock()
	defer s.redis.mu.Unlock()
	for channel, l := range s.redis.subs {
		if l, ok := l.(*walkListener); ok && l.store == s {
			delete(s.redis.subs, channel)
		}
	}
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	for _, topics := range s.rounds.topics {
		delete(topics, s)
	}
	for len(s.acks) > 0 {
		<-s.acks
	}
}

func (l *walkListener) Heard(h Handover) {
	switch l.store.point("message") {
	case dropped, cut:
		return
	case doubled:
		time.AfterFunc(walkLate, func() { l.Listener.Heard(h) })
	case delayed:
		time.AfterFunc(walkLate, func() { l.Listener.Heard(h) })
		return
	}
	l.Listener.Heard(h)
}
