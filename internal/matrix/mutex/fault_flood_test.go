package mutex_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultFlood floods the channel of a process that waits (row 42), with more than
// go-redis has room for in a channel of its own: with hand-overs whose results
// nobody takes, and with what is none. None of that keeps the message for another.
func TestFaultFlood(t *testing.T) {
	t.Parallel()
	const untaken, flood = 300, 5000
	s, p := kit.Proxied(t)
	holder, waiter := s.Client(t), p.Client(t)
	held := make([]*mutex.Lease, untaken)
	var results []<-chan mutex.Result
	for i := range held {
		key := fmt.Sprint("untaken", i)
		held[i] = lock(t, mutex.New(holder, key))
		results = append(results, mutex.New(waiter, key).LockChan(t.Context()))
	}
	l := lock(t, mutexOf(holder, ample))
	next := queued(t, s, mutexOf(waiter, ample), 1)
	redistest.Eventually(t, 5*time.Second, func() bool {
		n := 0
		for _, key := range s.Keys(t) {
			if strings.Contains(key, ":queue") {
				n++
			}
		}
		return n == untaken+1
	}, "all are awaited")
	before := s.Stats(t)
	for _, l := range held {
		unlock(t, l)
	}
	channel := s.Do(t, "PUBSUB", "CHANNELS", "baton:*").([]any)[0].(string)
	_, err := s.Client(t).Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range flood {
			pipe.Publish(t.Context(), channel, []string{"", "rubbish", "m 0 0 1 1 0 baton:1:nobody key", strings.Repeat("x", 100)}[i%4])
		}
		return nil
	})
	must(err)
	p.BlackholeRequests(true) // else it would find out by asking
	unlock(t, l)
	n := receive(t, "the hand-over behind a flood", next, 0)
	p.BlackholeRequests(false)
	unlock(t, n)
	if n := s.Stats(t).Since(before).Published(); n != untaken+flood+1 {
		t.Errorf("%d messages", n)
	}
	for _, c := range results {
		r := <-c
		if r.Err == nil {
			r.Err = r.Lease.Unlock()
		}
		if r.Err != nil && !errors.Is(r.Err, mutex.ErrLost) { // nobody took it in time, on a busy machine
			t.Error(r.Err)
		}
	}
	rests(t, s, 0)
}
