package mutex_test

import (
	"testing"
	"time"

	"github.com/seed-3d5fec5c/baton/internal/matrix/kit"
	"github.com/seed-3d5fec5c/baton/internal/redistest"
	"github.com/seed-3d5fec5c/baton/mutex"
)

// TestFaultSentinels has sentinels promote a replica that has not got a release and
// another's acquire (row 6): the old hold rises from the dead. The new holder is
// told, who waits goes on when the old hold has run out, and fences grow.
func TestFaultSentinels(t *testing.T) {
	t.Parallel()
	const old, ttl = 5 * time.Second, 1500 * time.Millisecond
	s := redistest.StartSentinels(t)
	first := lock(t, mutexOf(s.Client(t), old))
	token := owner(t, s.Master)
	var second *mutex.Lease
	var next <-chan mutex.Result
	b, c, other := mutexOf(s.Client(t), ttl), mutexOf(s.Client(t), ttl), mutex.New(s.Client(t), "other")
	s.FailOver(t, func() {
		unlock(t, first)
		second = lock(t, b)
		next = queued(t, s.Master, c, 1)
	})
	start := time.Now()
	if got := owner(t, s.Replica); got != token {
		t.Fatalf("the failover has lost nothing: the owner is %v", got)
	}
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		other.Lock() // in sync's style, while there is no master
	}()
	loses(t, second, second.Done(), start, ttl)
	s.Promoted(t)
	start = time.Now()
	<-locked
	bounded(t, "to lock when there is a master", start, time.Second+poll)
	other.Unlock()
	third := receive(t, "to wait for the old hold's end", next, old+poll)
	kit.Follows(t, first, second, third)
	keeps(t, third, ttl)
	last := queued(t, s.Replica, b, 1)
	unlock(t, third)
	unlock(t, receive(t, "the hand-over by the new master", last, 0))
	rests(t, s.Replica, 0)
}
