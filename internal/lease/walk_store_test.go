package lease

import (
	"context"
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
