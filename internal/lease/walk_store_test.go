package lease

import (
	"context"
	"slices"
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
	s := &walkStore{roundStore: &roundStore{fakeStore: newFakeStore(w.redis), group: w.group, name: name}, bucket: w.bucket}
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
	*roundStore
	bucket *walkBucket
	apart  bool // it cannot serve several keys in one step
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
