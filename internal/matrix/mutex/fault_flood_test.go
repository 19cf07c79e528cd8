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

// TestFaultFlood floods the channel of a waiting process (row 42) with more messages than go-redis
// buffers: hand-overs whose results are not received, and invalid messages. They do not delay the
// message for another waiter.
func TestFaultFlood(t *testing.T) {
	t.Parallel()
	const unreceived, flood = 300, 5000
	s, p := kit.StartWithProxy(t)
	holder, waiter := s.Client(t), p.Client(t)
	held := make([]*mutex.Lease, unreceived)
	var results []<-chan mutex.Result
	for i := range held {
		key := fmt.Sprint("unreceived", i)
		held[i] = lock(t, mutex.New(holder, key))
		results = append(results, mutex.New(waiter, key).LockChan(t.Context()))
	}
	l := lock(t, mutexOf(holder, ample))
	next := enqueue(t, s, mutexOf(waiter, ample), 1)
	redistest.Eventually(t, 5*time.Second, func() bool {
		n := 0
		for _, key := range s.Keys(t) {
			if strings.Contains(key, ":queue") {
				n++
			}
		}
		return n == unreceived+1
	}, "all keys have a waiter")
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
	p.BlackholeRequests(true) // otherwise a poll would get the lock
	unlock(t, l)
	n := receive(t, "the hand-over behind a flood", next, 0)
	p.BlackholeRequests(false)
	unlock(t, n)
	if n := s.Stats(t).Since(before).Published(); n != unreceived+flood+1 {
		t.Errorf("%d messages, want %d", n, unreceived+flood+1)
	}
	for _, c := range results {
		r := <-c
		if r.Err == nil {
			r.Err = r.Lease.Unlock()
		}
		if r.Err != nil && !errors.Is(r.Err, mutex.ErrLost) { // on a busy machine, the result may be received too late
			t.Error(r.Err)
		}
	}
	expectNothingLeft(t, s, 0)
}
